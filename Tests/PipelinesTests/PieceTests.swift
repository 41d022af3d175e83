import Adaptive
import Graph
import Support
import Testing

@testable import Pipelines

@Suite struct PieceTests {
  @Test(arguments: [DataType.float16, .bfloat16, .float64, .float32])
  func floatsSurviveTheWayThereAndBack(_ type: DataType) throws {
    // Exact in every one of the types.
    let values: [Float] = [0, 1, -1, 0.5, -2, 96, -0.125]
    let tensor = try Tensor(type: .float32, shape: [7], values: values)
    let back = try tensor.asFloatingPoint(type).asFloat32()
    let elements = withExtendedLifetime(back) { Array(back.buffer(Float.self)) }
    #expect(elements == values)
  }

  @Test func bfloat16RoundsToEven() throws {
    // Halfway between 1 and 1 + 2^-7 goes to 1, halfway between 1 + 2^-7 and 1 + 2^-6 goes up; NaN stays NaN.
    let tensor = try Tensor(type: .float32, shape: [3], values: [1 + 0x1p-8, 1 + 3 * 0x1p-8, Float.nan] as [Float])
    let rounded = try tensor.asFloatingPoint(.bfloat16).asFloat32()
    let back = withExtendedLifetime(rounded) { Array(rounded.buffer(Float.self)) }
    #expect(back[0] == 1)
    #expect(back[1] == 1 + 0x1p-6)
    #expect(back[2].isNaN)
  }

  /// Guided calls of 10 ms; the second scheduler calls the network twice per step but the last, the third guides one step.
  @Test(arguments: [
    (-5.0, 0, 0, 0), (9.9, 0, 0, 0), (10, 1, 1, 1), (35, 3, 2, 6), (200, 20, 10, 39), (1e6, 50, 50, 50),
  ])
  func deadlinesTakeTheStepsThatFit(_ milliseconds: Double, _ plain: Int, _ doubled: Int, _ mostlyUnguided: Int) {
    let speed = RunSpeed(guidedCallMilliseconds: 10, plainCallMilliseconds: 5, decodeMilliseconds: 0)
    func steps(_ calls: (Int) -> [Bool]) -> Int { speed.stepsFitting(into: milliseconds, atMost: 50, calls: calls) }
    #expect(steps { Array(repeating: true, count: $0) } == plain)
    #expect(steps { Array(repeating: true, count: 2 * $0 - 1) } == doubled)
    #expect(steps { [true] + Array(repeating: false, count: $0 - 1) } == mostlyUnguided)
    let unmeasured = RunSpeed(decodeMilliseconds: 0)
    #expect(unmeasured.stepsFitting(into: milliseconds, atMost: 50) { Array(repeating: true, count: $0) } == 0)
  }

  @Test func integersAreNoFloats() throws {
    let tensor = try Tensor(int64: [1, 2])
    #expect { try tensor.asFloat32() } throws: { ($0 as? Failure)?.status == .typeMismatch }
  }

  @Test func finiteMeansEveryElement() throws {
    for bad in [Float.nan, .infinity, -.infinity] {
      #expect(try !Tensor(type: .float32, shape: [3], values: [0, bad, 1]).isFinite)
    }
    #expect(try Tensor(type: .float32, shape: [3], values: [0, Float.greatestFiniteMagnitude, -1]).isFinite)
  }

  /// Text forms, whole floats, auto, and reset, as every binding uses them.
  @Test func optionsTakeTextForms() throws {
    var options = NamedOptions()
    try options.set("steps", .text("25"))
    #expect(options.generation.steps == .fixed(25))
    try options.set("steps", .float(12))
    #expect(options.generation.steps == .fixed(12))
    try options.set("steps", .text("auto"))
    #expect(options.generation.steps == .auto)
    try options.set("guidance_scale", .int(3))
    #expect(options.generation.guidanceScale == 3)
    try options.set("decode", .text("false"))
    #expect(!options.generation.decode)
    try options.set("seed", .int(.max))
    #expect(options.generation.seed == UInt64(Int.max))
    try options.set("width", .int(0))
    #expect(options.generation.width == nil)
    try options.reset("guidance_scale")
    #expect(options.generation.guidanceScale == nil)
    #expect { try options.set("steps", .float(2.5)) } throws: { ($0 as? Failure)?.status == .typeMismatch }
    #expect { try options.set("steps", .bool(true)) } throws: { ($0 as? Failure)?.status == .typeMismatch }
    #expect { try options.set("decode", .int(2)) } throws: { ($0 as? Failure)?.status == .typeMismatch }
  }

  @Test func guidanceFormula() {
    let (negative, positive): ([Float], [Float]) = ([1, 2], [3, 1])
    var output: [Float] = [0, 0]
    Guidance.combine(unconditional: negative, conditional: positive, scale: 2, count: 2, into: &output)
    #expect(output == [5, 0])
    // deviation of (3, 1) is √2, of (5, 0) is 5/√2: factor 2/5 at full rescale.
    Guidance.rescale(&output, conditional: positive, images: 1, elements: 2, rescale: 1)
    #expect(abs(output[0] - 2) < 1e-6 && output[1] == 0)
  }
}
