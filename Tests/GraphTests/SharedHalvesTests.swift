import Testing

@testable import Graph

/// Which nodes can compute one of two equal halves, and what of their inputs they then read.
@Suite struct SharedHalvesTests {
  /// `inputs`: shapes; `shared`: of which inputs the halves are equal; `constants`: elements of int64 inputs.
  private func halving(
    _ type: String, _ inputs: [[Int]?], shared: Set<Int> = [0], to output: [Int], constants: [Int: [Int64]] = [:],
    version: Int = 18, _ attributes: [String: Attribute] = [:]
  ) throws -> SharedHalves.Halving? {
    var graph = Graph(name: "")
    func value(_ shape: [Int]?) -> ValueID? {
      shape.map { graph.addValue(name: "", type: .tensor(.float32, shape: $0.map { .fixed($0) })) }
    }
    let ids = inputs.map(value)
    for (slot, elements) in constants { graph.constants[try #require(ids[slot])] = try Tensor(int64: elements) }
    let node = Node(
      name: "", operatorType: type, version: version, inputs: ids, outputs: [value(output)], attributes: attributes)
    var facts = SharedHalves(graph)
    for slot in shared { facts.shared.insert(try #require(ids[slot])) }
    return facts.halving(of: node)
  }

  @Test func itemByItem() throws {
    for type in ["Sigmoid", "Cast", "InstanceNormalization", "Conv"] {
      #expect(try halving(type, [[2, 4, 3, 3], [4], [4]], to: [2, 4, 3, 3])?.slots == [0])
      #expect(try halving(type, [[2, 4, 3, 3], [4], [4]], shared: [], to: [2, 4, 3, 3]) == nil)
      #expect(try halving(type, [[3, 4, 3, 3], [4], [4]], to: [3, 4, 3, 3]) == nil)
    }
    // Filters that depend on a shared input.
    #expect(try halving("Conv", [[2, 4, 3, 3], [2, 4, 1, 1]], shared: [0, 1], to: [2, 2, 3, 3]) == nil)
    #expect(try halving("Unknown", [[2, 4]], to: [2, 4]) == nil)
  }

  @Test func broadcasting() throws {
    #expect(try halving("Add", [[4, 3], [3]], to: [4, 3])?.slots == [0])
    #expect(try halving("Add", [[4, 3], [1, 3]], to: [4, 3])?.slots == [0])
    #expect(try halving("Add", [[4, 3], [4, 3]], shared: [0, 1], to: [4, 3])?.slots == [0, 1])
    #expect(try halving("Add", [[4, 3], [4, 1]], to: [4, 3]) == nil)
    // Two rows, no two items.
    #expect(try halving("Add", [[2, 3], [4, 2, 3]], to: [4, 2, 3]) == nil)
    #expect(try halving("Add", [[1, 3], [3]], shared: [], to: [1, 3]) == nil)
  }

  @Test func products() throws {
    #expect(try halving("MatMul", [[2, 5, 3], [3, 4]], to: [2, 5, 4])?.slots == [0])
    #expect(try halving("MatMul", [[2, 5, 3], [2, 3, 4]], shared: [0, 1], to: [2, 5, 4])?.slots == [0, 1])
    #expect(try halving("MatMul", [[2, 5, 3], [2, 3, 4]], to: [2, 5, 4]) == nil)
    #expect(try halving("MatMul", [[4, 3], [2, 3, 4]], shared: [0], to: [2, 4, 4]) == nil)
    #expect(try halving("MatMul", [[4, 3], [3, 5]], to: [4, 5])?.slots == [0])
    #expect(try halving("MatMul", [[4, 3], [3, 5]], shared: [1], to: [4, 5]) == nil)
    #expect(try halving("Gemm", [[2, 3], [3, 5], [5]], to: [2, 5])?.slots == [0])
    #expect(try halving("Gemm", [[2, 3], [3, 5], [2, 5]], to: [2, 5]) == nil)
    #expect(try halving("Gemm", [[2, 3], [3, 5], [2, 5]], shared: [0, 2], to: [2, 5])?.slots == [0, 2])
    #expect(try halving("Gemm", [[2, 2], [2, 5]], to: [2, 5], ["transA": .int(1)]) == nil)
    let heads = [[2, 4, 5, 8], [2, 4, 5, 8], [2, 4, 5, 8]]
    #expect(try halving("Attention", heads, shared: [0, 1, 2], to: [2, 4, 5, 8])?.slots == [0, 1, 2])
    #expect(try halving("Attention", heads, shared: [0], to: [2, 4, 5, 8]) == nil)
    #expect(try halving("Attention", heads + [[5, 5]], shared: [0, 1, 2], to: [2, 4, 5, 8]) == nil)
  }

  /// The first axis must stay what it is.
  @Test func axes() throws {
    for axis in [1, 2, -1, -2] {
      #expect(try halving("Softmax", [[2, 3, 4]], to: [2, 3, 4], ["axis": .int(Int64(axis))])?.slots == [0])
    }
    for axis in [0, -3, 3, -4] {
      #expect(try halving("Softmax", [[2, 3, 4]], to: [2, 3, 4], ["axis": .int(Int64(axis))]) == nil)
    }
    #expect(try halving("Softmax", [[2, 3]], to: [2, 3])?.slots == [0])
    #expect(try halving("Gather", [[2, 3], [2]], to: [2, 3]) == nil)
    #expect(try halving("LayerNormalization", [[2, 3], [3]], to: [2, 3])?.slots == [0])
    #expect(try halving("RMSNormalization", [[2, 3], [2, 3]], to: [2, 3]) == nil)
    // Its indices count through the whole batch.
    #expect(try halving("MaxPool", [[2, 3, 4, 4]], to: [2, 3, 2, 2]) == nil)
    #expect(try halving("Split", [[4, 3]], to: [2, 3]) == nil)
    #expect(
      try halving("Concat", [[2, 3], [2, 4]], shared: [0, 1], to: [2, 7], ["axis": .int(1)])?.slots == [0, 1])
    #expect(try halving("Concat", [[2, 3], [2, 4]], shared: [0], to: [2, 7], ["axis": .int(1)]) == nil)
    #expect(try halving("Concat", [[2, 3], [2, 3]], shared: [0, 1], to: [4, 3], ["axis": .int(0)]) == nil)
    #expect(try halving("ReduceMean", [[2, 3]], to: [2, 1], ["axes": .ints([-1])])?.slots == [0])
    #expect(try halving("ReduceMean", [[2, 2]], to: [2], ["axes": .ints([0])]) == nil)
    #expect(try halving("ReduceMean", [[2, 3], [1]], to: [2, 1], constants: [1: [1]])?.slots == [0])
    #expect(try halving("ReduceMean", [[2, 3], [1]], to: [2, 1]) == nil)
    #expect(try halving("Slice", [[2, 3], [1], [1], [1]], to: [2, 1], constants: [3: [1]])?.slots == [0])
    #expect(try halving("Slice", [[4, 3], [1], [1], [1]], to: [2, 3], constants: [3: [0]]) == nil)
    #expect(try halving("Slice", [[4, 3], [1], [1]], to: [2, 3]) == nil)
    #expect(try halving("Unsqueeze", [[2, 3], [1]], to: [2, 3, 1], constants: [1: [-1]])?.slots == [0])
    #expect(try halving("Unsqueeze", [[2, 3], [1]], to: [1, 2, 3], constants: [1: [0]]) == nil)
    #expect(try halving("Transpose", [[2, 3, 4]], to: [2, 4, 3], ["perm": .ints([0, 2, 1])])?.slots == [0])
    #expect(try halving("Transpose", [[2, 4, 3]], to: [4, 2, 3], ["perm": .ints([1, 0, 2])]) == nil)
    #expect(try halving("Transpose", [[2, 4]], to: [4, 2]) == nil)
  }

  /// Sizes that the file says are those of one half.
  @Test func sizes() throws {
    let heads = try halving("Reshape", [[2, 5, 8], [3]], to: [8, 5, 2], constants: [1: [8, 5, 2]])
    #expect(heads?.slots == [0] && heads?.sizes?.slot == 1 && heads?.sizes?.values == [4, 5, 2])
    #expect(try halving("Reshape", [[2, 6], [2]], to: [3, 4], constants: [1: [3, 4]]) == nil)
    #expect(try halving("Reshape", [[2, 6], [2]], to: [4, 3]) == nil)
    let items = try halving("Expand", [[1], [1]], shared: [], to: [2], constants: [1: [2]])
    #expect(items?.slots == [] && items?.sizes?.values == [1])
    #expect(try halving("Expand", [[2, 1], [2]], to: [2, 3], constants: [1: [2, 3]])?.slots == [0])
    #expect(try halving("Expand", [[2, 1], [2]], shared: [], to: [2, 3], constants: [1: [2, 3]]) == nil)
  }
}
