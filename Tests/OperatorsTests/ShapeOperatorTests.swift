import Graph
import Operators
import Support
import Testing

/// Semantics that ONNX's own node tests do not reach: old operator sets, other element types, empty tensors.
@Suite struct ShapeOperatorTests {
  @Test func reshapeCopiesZerosAndInfersOne() throws {
    let result = try ShapeTestCase(name: "Reshape", inputs: [counting([2, 3, 4]), int64s([0, -1])]).first()
    #expect(result.shape == [2, 12])
    let old = ShapeTestCase(
      name: "Reshape", version: 1, attributes: ["shape": .ints([4, -1])], inputs: [try counting([2, 6])])
    #expect(try old.first().shape == [4, 3])
    let empty = ShapeTestCase(
      name: "Reshape", attributes: ["allowzero": .int(1)], inputs: [try counting([0, 3]), try int64s([3, 0])])
    #expect(try empty.first().shape == [3, 0])
  }

  @Test func axesMoveFromAttributesToInputs() throws {
    let data = try counting([2, 1, 3])
    let oldSqueeze = ShapeTestCase(name: "Squeeze", version: 11, attributes: ["axes": .ints([-2])], inputs: [data])
    #expect(try oldSqueeze.first().shape == [2, 3])
    #expect(try ShapeTestCase(name: "Squeeze", inputs: [data, int64s([1])]).first().shape == [2, 3])
    let oldUnsqueeze = ShapeTestCase(
      name: "Unsqueeze", version: 11, attributes: ["axes": .ints([0, -1])], inputs: [data])
    #expect(try oldUnsqueeze.first().shape == [1, 2, 1, 3, 1])
    let oldSlice = ShapeTestCase(
      name: "Slice", version: 9, attributes: ["starts": .ints([-2]), "ends": .ints([1 << 40]), "axes": .ints([2])],
      inputs: [data])
    #expect(try oldSlice.first().floats == [1, 2, 4, 5])
    let oldSplit = ShapeTestCase(
      name: "Split", version: 11, attributes: ["axis": .int(2), "split": .ints([1, 2])], inputs: [data], outputCount: 2)
    #expect(try oldSplit.run().map { $0?.floats } == [[0, 3], [1, 2, 4, 5]])
    let oldPad = ShapeTestCase(
      name: "Pad", version: 2, attributes: ["pads": .ints([0, 1]), "value": .float(7)], inputs: [try counting([2])])
    #expect(try oldPad.first().floats == [0, 1, 7])
    let oldTopK = ShapeTestCase(
      name: "TopK", version: 1, attributes: ["k": .int(1)], inputs: [try counting([4])], outputCount: 2)
    #expect(try oldTopK.run()[1]?.int64s == [3])
  }

  @Test func sliceClampsAndReverses() throws {
    let data = try counting([5])
    // (start, end, step) and the elements that NumPy gives.
    let cases: [(Int64, Int64, Int64, [Float])] = [
      (3, .min, -1, [3, 2, 1, 0]), (.max, .min, -2, [4, 2, 0]), (1, .max, .max, [1]), (4, 0, .min, [4]),
      (-100, 100, 3, [0, 3]), (2, 2, 1, []), (3, 1, 1, []), (0, 3, -1, []),
    ]
    for (start, end, step, expected) in cases {
      let slice = ShapeTestCase(
        name: "Slice", inputs: [data, try int64s([start]), try int64s([end]), try int64s([0]), try int64s([step])])
      #expect(try slice.first().floats == expected, "\(start):\(end):\(step)")
    }
  }

  /// Two 4-bit elements share a byte: movement must keep single ones apart, and clear the unused half.
  @Test func halfBytesMoveAlone() throws {
    let data = try Tensor(type: .uint4, shape: [3, 1], values: [UInt8(0x21), 0x03])
    #expect(try ShapeTestCase(name: "Transpose", inputs: [data]).first().rawBytes == [0x21, 0x03])
    let reversed = ShapeTestCase(
      name: "Slice", inputs: [data, try int64s([2]), try int64s([-9]), try int64s([0]), try int64s([-1])])
    #expect(try reversed.first().rawBytes == [0x23, 0x01])
    let padded = ShapeTestCase(name: "Pad", inputs: [data, try int64s([1, 0, 0, 0])])
    #expect(try padded.first().rawBytes == [0x10, 0x32])
  }

  @Test func stringsMove() throws {
    let data = Tensor(strings: ["a", "b", "c", "d"], shape: [2, 2])
    #expect(try ShapeTestCase(name: "Transpose", inputs: [data]).first().strings == ["a", "c", "b", "d"])
    #expect(try ShapeTestCase(name: "Gather", inputs: [data, int64s([-1])]).first().strings == ["c", "d"])
    #expect(try ShapeTestCase(name: "Identity", inputs: [data]).first().strings == data.strings)
    let unique = ShapeTestCase(
      name: "Unique", inputs: [Tensor(strings: ["é", "a", "é", "Z"], shape: [4])], outputCount: 4)
    #expect(try unique.run()[0]?.strings == ["Z", "a", "é"])
  }

  @Test func emptyTensors() throws {
    let empty = try counting([2, 0, 3])
    #expect(try ShapeTestCase(name: "Transpose", inputs: [empty]).first().shape == [3, 0, 2])
    #expect(
      try ShapeTestCase(name: "Concat", attributes: ["axis": .int(1)], inputs: [empty, counting([2, 1, 3])]).first()
        .count == 6)
    #expect(try ShapeTestCase(name: "Gather", inputs: [empty, int64s([1, 0])]).first().shape == [2, 0, 3])
    #expect(try ShapeTestCase(name: "Tile", inputs: [empty, int64s([2, 5, 0])]).first().shape == [4, 0, 0])
    #expect(try ShapeTestCase(name: "NonZero", inputs: [empty]).first().shape == [3, 0])
    #expect(try ShapeTestCase(name: "Expand", inputs: [counting([1]), int64s([0, 3])]).first().shape == [0, 3])
    #expect(try ShapeTestCase(name: "Unique", inputs: [counting([0])], outputCount: 4).first().shape == [0])
  }

  /// Shape arithmetic is folded before anything runs, so these outputs must already be known.
  @Test func shapesAreConstants() throws {
    for (name, expected) in [("Shape", [Int64](arrayLiteral: 2, 3)), ("Size", [6])] {
      let node = Node(name: "n", operatorType: name, version: 21, inputs: [ValueID(0)], outputs: [ValueID(1)])
      guard
        case .planned(let make)? = OperatorRegistry.standard.entry(domain: "", name: name, version: 21)?.implementation
      else {
        Issue.record("\(name) is not planned")
        continue
      }
      let info = try make(node).outputs(for: [ValueInfo(type: .float32, shape: [2, 3])])?.first
      #expect(info?.constant?.int64s == expected)
    }
  }

  /// A shape that depends on elements is unknown without them, and never an error.
  @Test func unknownElementsGiveUnknownShapes() throws {
    let planned: [(String, [String: Attribute], Int)] = [
      ("Reshape", [:], 2), ("Expand", [:], 2), ("Tile", [:], 2), ("Slice", [:], 3), ("Pad", [:], 2),
      ("ConstantOfShape", [:], 1), ("TopK", [:], 2), ("Unsqueeze", [:], 2), ("NonZero", [:], 1),
    ]
    for (name, attributes, count) in planned {
      let node = Node(
        name: "n", operatorType: name, version: 21, inputs: (0..<count).map { ValueID($0) }, outputs: [ValueID(9)],
        attributes: attributes)
      guard
        case .planned(let make)? = OperatorRegistry.standard.entry(domain: "", name: name, version: 21)?.implementation
      else {
        Issue.record("\(name) is not planned")
        continue
      }
      let infos = (0..<count).map { ValueInfo(type: $0 == 0 && count > 1 ? .float32 : .int64, shape: [2]) }
      #expect(try make(node).outputs(for: infos) == nil, "\(name)")
    }
  }

  @Test func topKKeepsTheOrderOfEqualElements() throws {
    let data = try floats([1, .nan, 2, 2, 1, 2], [6])
    let largest = ShapeTestCase(name: "TopK", inputs: [data, try int64s([4])], outputCount: 2)
    #expect(try largest.run()[1]?.int64s == [1, 2, 3, 5])
    let smallest = ShapeTestCase(
      name: "TopK", attributes: ["largest": .int(0)], inputs: [data, try int64s([6])], outputCount: 2)
    #expect(try smallest.run()[1]?.int64s == [0, 4, 2, 3, 5, 1])
  }

  @Test func scatterAppliesDuplicatesInOrder() throws {
    let inputs = [try counting([3]), try int64s([1, 1]), try floats([5, 7], [2])]
    #expect(try ShapeTestCase(name: "ScatterElements", inputs: inputs).first().floats == [0, 7, 2])
    let add = ShapeTestCase(name: "ScatterElements", attributes: ["reduction": .string("add")], inputs: inputs)
    #expect(try add.first().floats == [0, 13, 2])
  }

  @Test func outOfRangeClassesSelectNothing() throws {
    let encoded = ShapeTestCase(
      name: "OneHot", inputs: [try floats([3, -1, .nan], [3]), try int64s([3], []), try floats([0, 1], [2])])
    #expect(try encoded.first().floats == [0, 0, 0, 0, 0, 1, 0, 0, 0])
  }

  @Test func randomTensorsRepeatAndDifferByNode() throws {
    let attributes: [String: Attribute] = ["shape": .ints([1000]), "seed": .float(3)]
    let first = try ShapeTestCase(name: "RandomNormal", attributes: attributes, inputs: []).first().floats
    let second = try ShapeTestCase(name: "RandomNormal", attributes: attributes, inputs: [], threads: 3).first().floats
    #expect(first == second)
    // The mean of 1000 standard normal numbers has the standard error 0.032.
    #expect(abs(first.reduce(0, +) / 1000) < 0.13)
  }

  /// `numpy.random.seed(0); numpy.random.uniform(size=4) >= 0.5625` keeps only the second and third of these.
  @Test func trainingDropoutDrawsNumPysMask() throws {
    let dropout = ShapeTestCase(
      name: "Dropout", attributes: ["seed": .int(0)],
      inputs: [
        try floats([1, 1, 1, 1], [4]), try floats([0.5625], []), try Tensor(type: .bool, shape: [], values: [true]),
      ],
      outputCount: 2)
    #expect(try dropout.run()[1]?.rawBytes == [0, 1, 1, 0])
    #expect(try dropout.first().floats == [0, 1 / 0.4375, 1 / 0.4375, 0])
  }

  @Test func resizeKeepsExactPlacesForSizes() throws {
    // 5 of 3 pixels by floor(x * 3 / 5): a rounded scale would move the fourth.
    let nearest = ShapeTestCase(
      name: "Resize",
      attributes: ["coordinate_transformation_mode": .string("asymmetric"), "nearest_mode": .string("floor")],
      inputs: [try counting([3]), nil, nil, try int64s([5])])
    #expect(try nearest.first().floats == [0, 0, 1, 1, 2])
    let downsampled = ShapeTestCase(name: "Resize", version: 10, inputs: [try counting([4]), try floats([0.6], [1])])
    #expect(try downsampled.first().floats == [0, 2])
  }
}
