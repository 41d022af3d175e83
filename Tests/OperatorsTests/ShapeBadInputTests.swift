import Graph
import Operators
import Support
import Testing

/// Bad attributes, shapes, types and indices: each gives its status and names the thing; none may trap or read outside.
@Suite struct ShapeBadInputTests {
  struct Case: CustomTestStringConvertible {
    var what: String
    var test: ShapeTestCase
    var status: Status
    /// Part of the message.
    var mentions: String
    var testDescription: String { what }
  }

  static func cases() throws -> [Case] {
    let data = try counting([2, 3])
    let huge = Int64.max
    func test(_ name: String, _ attributes: [String: Attribute] = [:], _ inputs: [Tensor?], version: Int = 21)
      -> ShapeTestCase
    {
      ShapeTestCase(name: name, version: version, attributes: attributes, inputs: inputs)
    }
    return [
      Case(
        what: "Reshape to another count", test: test("Reshape", [:], [data, try int64s([4, 2])]),
        status: .shapeMismatch, mentions: "[4, 2]"),
      Case(
        what: "Reshape with two open axes", test: test("Reshape", [:], [data, try int64s([-1, -1])]),
        status: .shapeMismatch, mentions: "[-1, -1]"),
      Case(
        what: "Reshape that overflows", test: test("Reshape", [:], [data, try int64s([huge, huge])]),
        status: .outOfMemory, mentions: "too large"),
      Case(
        what: "Reshape by floats", test: test("Reshape", [:], [data, try floats([6], [1])]), status: .typeMismatch,
        mentions: "shape"),
      Case(what: "Reshape without a shape", test: test("Reshape", [:], [data]), status: .corrupt, mentions: "shape"),
      Case(
        what: "Flatten behind the rank", test: test("Flatten", ["axis": .int(3)], [data]), status: .outOfRange,
        mentions: "axis 3"),
      Case(
        what: "Squeeze of a long axis", test: test("Squeeze", [:], [data, try int64s([1])]), status: .shapeMismatch,
        mentions: "axis 1"),
      Case(
        what: "Unsqueeze twice the same", test: test("Unsqueeze", [:], [data, try int64s([0, -4])]),
        status: .invalidArgument, mentions: "twice"),
      Case(
        what: "Transpose with a double axis", test: test("Transpose", ["perm": .ints([0, 0])], [data]),
        status: .invalidArgument, mentions: "twice"),
      Case(
        what: "Transpose with a short perm", test: test("Transpose", ["perm": .ints([0])], [data]),
        status: .shapeMismatch, mentions: "perm"),
      Case(
        what: "Concat of other shapes", test: test("Concat", ["axis": .int(0)], [data, try counting([2, 2])]),
        status: .shapeMismatch, mentions: "input 1"),
      Case(
        what: "Concat of other types", test: test("Concat", ["axis": .int(0)], [data, try int64s([1])]),
        status: .typeMismatch, mentions: "inputs[1]"),
      Case(what: "Concat without an axis", test: test("Concat", [:], [data]), status: .corrupt, mentions: "axis"),
      Case(
        what: "Split with a wrong sum", test: test("Split", [:], [data, try int64s([3])]), status: .shapeMismatch,
        mentions: "[3]"),
      Case(
        what: "Split with overflow", test: test("Split", [:], [data, try int64s([huge, huge])]), status: .shapeMismatch,
        mentions: "split"),
      Case(
        what: "Slice with step 0",
        test: test("Slice", [:], [data, try int64s([0]), try int64s([1]), nil, try int64s([0])]), status: .outOfRange,
        mentions: "step"),
      Case(
        what: "Slice with unequal lists", test: test("Slice", [:], [data, try int64s([0, 0]), try int64s([1])]),
        status: .shapeMismatch, mentions: "starts"),
      Case(
        what: "Slice of a missing axis",
        test: test("Slice", [:], [data, try int64s([0]), try int64s([1]), try int64s([2])]), status: .outOfRange,
        mentions: "axis 2"),
      Case(
        what: "Expand that does not broadcast", test: test("Expand", [:], [data, try int64s([2, 2])]),
        status: .shapeMismatch, mentions: "[2, 2]"),
      Case(
        what: "Expand to a negative size", test: test("Expand", [:], [try counting([1]), try int64s([-5])]),
        status: .outOfRange, mentions: "-5"),
      Case(
        what: "Expand that overflows", test: test("Expand", [:], [try counting([1]), try int64s([huge, huge])]),
        status: .outOfMemory, mentions: "too large"),
      Case(
        what: "Tile by a negative count", test: test("Tile", [:], [data, try int64s([1, -1])]), status: .outOfRange,
        mentions: "-1"),
      Case(
        what: "Tile with one count", test: test("Tile", [:], [data, try int64s([1])]), status: .shapeMismatch,
        mentions: "repeat"),
      Case(
        what: "Pad with too few pads", test: test("Pad", [:], [data, try int64s([1])]), status: .shapeMismatch,
        mentions: "pads"),
      Case(
        what: "Pad by a huge amount", test: test("Pad", [:], [data, try int64s([.min, 0, huge, 0])]),
        status: .outOfRange, mentions: "pads"),
      Case(
        what: "Pad that removes too much", test: test("Pad", [:], [data, try int64s([-2, 0, -1, 0])]),
        status: .shapeMismatch, mentions: "remove"),
      Case(
        what: "Pad that reflects nothing",
        test: test("Pad", ["mode": .string("reflect")], [try counting([0]), try int64s([1, 0])]),
        status: .shapeMismatch, mentions: "reflect"),
      Case(
        what: "Pad in an unknown mode",
        test: test("Pad", ["mode": .string("mirror")], [data, try int64s([0, 0, 0, 0])]), status: .unsupported,
        mentions: "mode"),
      Case(
        what: "DepthToSpace by 0", test: test("DepthToSpace", ["blocksize": .int(0)], [try counting([1, 4, 1, 1])]),
        status: .outOfRange, mentions: "blocksize"),
      Case(
        what: "DepthToSpace of odd channels",
        test: test("DepthToSpace", ["blocksize": .int(2)], [try counting([1, 3, 1, 1])]), status: .shapeMismatch,
        mentions: "channels"),
      Case(
        what: "SpaceToDepth of odd sizes",
        test: test("SpaceToDepth", ["blocksize": .int(2)], [try counting([1, 1, 3, 2])]), status: .shapeMismatch,
        mentions: "height"),
      Case(
        what: "Gather behind the axis", test: test("Gather", [:], [data, try int64s([0, 2])]), status: .outOfRange,
        mentions: "index 2"),
      Case(
        what: "Gather far before the axis", test: test("Gather", [:], [data, try int64s([.min])]), status: .outOfRange,
        mentions: "size 2"),
      Case(
        what: "Gather by floats", test: test("Gather", [:], [data, data]), status: .typeMismatch, mentions: "indices"),
      Case(
        what: "GatherElements with long indices",
        test: test("GatherElements", ["axis": .int(1)], [data, try int64s([0, 0, 0], [3, 1])]), status: .shapeMismatch,
        mentions: "indices"),
      Case(
        what: "GatherElements behind the axis", test: test("GatherElements", [:], [data, try int64s([7], [1, 1])]),
        status: .outOfRange, mentions: "index 7"),
      Case(
        what: "GatherND behind an axis", test: test("GatherND", [:], [data, try int64s([0, 3])]), status: .outOfRange,
        mentions: "axis 1"),
      Case(
        what: "GatherND with long tuples", test: test("GatherND", [:], [data, try int64s([0, 0, 0])]),
        status: .shapeMismatch, mentions: "indices"),
      Case(
        what: "GatherND with negative batch axes",
        test: test("GatherND", ["batch_dims": .int(-1)], [data, try int64s([0])]), status: .shapeMismatch,
        mentions: "-1"),
      Case(
        what: "ScatterElements with short updates",
        test: test("ScatterElements", [:], [data, try int64s([0, 0], [1, 2]), try floats([1], [1, 1])]),
        status: .shapeMismatch, mentions: "updates"),
      Case(
        what: "ScatterElements behind the axis",
        test: test("ScatterElements", [:], [data, try int64s([5], [1, 1]), try floats([1], [1, 1])]),
        status: .outOfRange, mentions: "index 5"),
      Case(
        what: "ScatterND behind an axis",
        test: test("ScatterND", [:], [data, try int64s([9], [1, 1]), try counting([1, 3])]), status: .outOfRange,
        mentions: "index 9"),
      Case(
        what: "ScatterND by an unknown reduction",
        test: test(
          "ScatterND", ["reduction": .string("xor")], [data, try int64s([0], [1, 1]), try counting([1, 3])]),
        status: .unsupported, mentions: "reduction"),
      Case(
        what: "ScatterND max before opset 18",
        test: test(
          "ScatterND", ["reduction": .string("max")], [data, try int64s([0], [1, 1]), try counting([1, 3])], version: 16
        ), status: .unsupported, mentions: "reduction"),
      Case(
        what: "TopK beyond the axis", test: test("TopK", [:], [data, try int64s([4])]), status: .outOfRange,
        mentions: "K = 4"),
      Case(
        what: "TopK of a negative count", test: test("TopK", [:], [data, try int64s([-1])]), status: .outOfRange,
        mentions: "K = -1"),
      Case(
        what: "OneHot with infinite depth",
        test: test("OneHot", [:], [try int64s([1]), try floats([.infinity], []), try floats([0, 1], [2])]),
        status: .outOfRange, mentions: "depth"),
      Case(
        what: "Compress with a long condition",
        test: test(
          "Compress", ["axis": .int(0)], [data, try Tensor(type: .bool, shape: [3], values: [true, true, true])]),
        status: .outOfRange, mentions: "condition"),
      Case(
        what: "ReverseSequence longer than the data",
        test: test("ReverseSequence", [:], [data, try int64s([1, 1, 5])]), status: .outOfRange, mentions: "length 5"),
      Case(
        what: "Range with delta 0",
        test: test("Range", [:], [try int64s([0], []), try int64s([1], []), try int64s([0], [])]), status: .outOfRange,
        mentions: "delta"),
      Case(
        what: "Range without an end",
        test: test("Range", [:], [try int64s([.min], []), try int64s([huge], []), try int64s([1], [])]),
        status: .outOfMemory, mentions: "too long"),
      Case(
        what: "Range to NaN",
        test: test("Range", [:], [try floats([0], []), try floats([.nan], []), try floats([1], [])]),
        status: .outOfMemory, mentions: "too long"),
      Case(
        what: "ConstantOfShape of a negative size", test: test("ConstantOfShape", [:], [try int64s([-1])]),
        status: .outOfRange, mentions: "-1"),
      Case(
        what: "ConstantOfShape that overflows", test: test("ConstantOfShape", [:], [try int64s([huge, 2])]),
        status: .outOfMemory, mentions: "too large"),
      Case(what: "Constant without a value", test: test("Constant", [:], []), status: .corrupt, mentions: "value"),
      Case(
        what: "Resize without scales and sizes", test: test("Resize", [:], [data]), status: .invalidArgument,
        mentions: "scales"),
      Case(
        what: "Resize by a negative scale", test: test("Resize", [:], [data, nil, try floats([1, -2], [2])]),
        status: .outOfRange, mentions: "scale"),
      Case(
        what: "Resize by an infinite scale", test: test("Resize", [:], [data, nil, try floats([1, .infinity], [2])]),
        status: .outOfRange, mentions: "scale"),
      Case(
        what: "Resize to a huge size", test: test("Resize", [:], [data, nil, nil, try int64s([huge, 1])]),
        status: .outOfRange, mentions: "size"),
      Case(
        what: "GridSample with the wrong grid",
        test: test("GridSample", [:], [try counting([1, 1, 2, 2]), try counting([1, 2, 2, 3])]), status: .shapeMismatch,
        mentions: "grid"),
      Case(
        what: "RoiAlign with an infinite region",
        test: test(
          "RoiAlign", [:], [try counting([1, 1, 2, 2]), try floats([0, 0, .infinity, 1], [1, 4]), try int64s([0])]),
        status: .outOfRange, mentions: "region"),
      Case(
        what: "RoiAlign with a missing batch entry",
        test: test(
          "RoiAlign", [:], [try counting([1, 1, 2, 2]), try floats([0, 0, 1, 1], [1, 4]), try int64s([1])]),
        status: .outOfRange, mentions: "index 1"),
      Case(
        what: "NonMaxSuppression with wrong scores",
        test: test("NonMaxSuppression", [:], [try counting([1, 2, 4]), try counting([1, 1, 3])]),
        status: .shapeMismatch, mentions: "scores"),
      Case(
        what: "DFT along the complex axis",
        test: test("DFT", [:], [try counting([1, 4, 2]), nil, try int64s([2], [])]), status: .outOfRange,
        mentions: "axis"),
      Case(
        what: "DFT of length 0", test: test("DFT", [:], [try counting([1, 4, 2]), try int64s([0], [])]),
        status: .outOfRange, mentions: "dft_length"),
      Case(
        what: "MelWeightMatrix beyond the sample rate",
        test: test(
          "MelWeightMatrix", [:],
          [try int64s([4], []), try int64s([8], []), try int64s([10], []), try floats([0], []), try floats([1e6], [])]),
        status: .outOfRange, mentions: "sample rate"),
      Case(
        what: "SequenceAt of a tensor", test: test("SequenceAt", [:], [data, try int64s([0], [])]),
        status: .typeMismatch, mentions: "sequence"),
      Case(
        what: "Col2Im with another image",
        test: test("Col2Im", [:], [try counting([1, 4, 3]), try int64s([3, 3]), try int64s([2, 2])]),
        status: .shapeMismatch, mentions: "image"),
      Case(
        what: "CenterCropPad to a negative size", test: test("CenterCropPad", [:], [data, try int64s([-1, 2])]),
        status: .outOfRange, mentions: "-1"),
      Case(
        what: "Trilu of a list", test: test("Trilu", [:], [try counting([3])]), status: .shapeMismatch,
        mentions: "matrix"),
      Case(
        what: "TensorScatter behind the cache",
        test: test(
          "TensorScatter", [:], [try counting([1, 2, 1]), try counting([1, 1, 1]), try int64s([2])], version: 24),
        status: .outOfRange, mentions: "write index 2"),
    ]
  }

  @Test(arguments: try cases()) func fails(_ item: Case) {
    do {
      _ = try item.test.run()
      Issue.record("\(item.what): no error")
    } catch let failure as Failure {
      #expect(failure.status == item.status, "\(item.what): \(failure)")
      #expect(failure.description.contains(item.mentions), "\(item.what): \(failure)")
    } catch {
      Issue.record("\(item.what): \(error)")
    }
  }

  /// Values that would trap a careless conversion, but have a defined answer.
  @Test func extremeNumbersDoNotTrap() throws {
    let grid = try floats([.nan, .infinity, -.infinity, 3e38], [1, 1, 2, 2])
    for padding in ["zeros", "border", "reflection"] {
      for mode in ["linear", "nearest", "cubic"] {
        let sample = ShapeTestCase(
          name: "GridSample", attributes: ["padding_mode": .string(padding), "mode": .string(mode)],
          inputs: [try counting([1, 1, 2, 3]), grid])
        #expect(try sample.first().shape == [1, 1, 1, 2])
      }
    }
    #expect(
      try ShapeTestCase(name: "Trilu", inputs: [counting([2, 2]), int64s([.min])]).first().floats == [0, 1, 2, 3])
    let eye = ShapeTestCase(name: "EyeLike", attributes: ["k": .int(.max)], inputs: [try counting([2, 2])])
    #expect(try eye.first().floats == [0, 0, 0, 0])
    let crop = ShapeTestCase(
      name: "Resize",
      attributes: ["coordinate_transformation_mode": .string("tf_crop_and_resize"), "extrapolation_value": .float(9)],
      inputs: [try counting([4]), try floats([-1, 2], [2]), nil, try int64s([4])])
    #expect(try crop.first().floats == [9, 0, 3, 9])
  }
}
