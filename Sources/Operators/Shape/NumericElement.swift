import Graph
import Support

/// An element that generic operators of this folder compute with. Integers wrap, as in NumPy.
protocol NumericElement: BitwiseCopyable, Sendable {
  init(rounding value: Double)
  var asDouble: Double { get }
  var isNotANumber: Bool { get }
  static func sum(_ a: Self, _ b: Self) -> Self
  static func product(_ a: Self, _ b: Self) -> Self
  /// A total order in which NaN is the greatest element.
  static func precedes(_ a: Self, _ b: Self) -> Bool
}

extension NumericElement {
  /// The larger element; NaN if either is.
  static func maximum(_ a: Self, _ b: Self) -> Self { precedes(a, b) ? b : a }
  /// The smaller element; NaN if either is.
  static func minimum(_ a: Self, _ b: Self) -> Self {
    a.isNotANumber ? a : b.isNotANumber ? b : precedes(b, a) ? b : a
  }
}

extension NumericElement where Self: FixedWidthInteger {
  /// Truncates towards zero; what does not fit takes the nearest end of the range, NaN becomes 0.
  init(rounding value: Double) {
    if let exact = Self(exactly: value.rounded(.towardZero)) {
      self = exact
    } else {
      self = value.isNaN ? 0 : value < 0 ? .min : .max
    }
  }
  var asDouble: Double { Double(self) }
  var isNotANumber: Bool { false }
  static func sum(_ a: Self, _ b: Self) -> Self { a &+ b }
  static func product(_ a: Self, _ b: Self) -> Self { a &* b }
  static func precedes(_ a: Self, _ b: Self) -> Bool { a < b }
}

extension NumericElement where Self: BinaryFloatingPoint {
  init(rounding value: Double) { self.init(value) }
  var asDouble: Double { Double(self) }
  var isNotANumber: Bool { isNaN }
  static func sum(_ a: Self, _ b: Self) -> Self { a + b }
  static func product(_ a: Self, _ b: Self) -> Self { a * b }
  static func precedes(_ a: Self, _ b: Self) -> Bool { a < b || (b.isNaN && !a.isNaN) }
}

extension Int8: NumericElement {}
extension Int16: NumericElement {}
extension Int32: NumericElement {}
extension Int64: NumericElement {}
extension UInt8: NumericElement {}
extension UInt16: NumericElement {}
extension UInt32: NumericElement {}
extension UInt64: NumericElement {}
extension Float16: NumericElement {}
extension Float: NumericElement {}
extension Double: NumericElement {}

/// Element types that Swift does not have.
enum StoredElement {
  /// The upper half of a Float.
  struct BrainFloat16: NumericElement {
    var bits: UInt16

    init(_ value: Float) {
      let raw = value.bitPattern
      // Round to nearest, ties to even; NaN keeps its top bits and stays quiet.
      bits =
        value.isNaN ? UInt16(raw >> 16) | 0x40 : UInt16(truncatingIfNeeded: (raw &+ 0x7FFF &+ (raw >> 16 & 1)) >> 16)
    }
    init(rounding value: Double) { self.init(Float(value)) }
    var float: Float { Float(bitPattern: UInt32(bits) << 16) }
    var asDouble: Double { Double(float) }
    var isNotANumber: Bool { float.isNaN }
    static func sum(_ a: Self, _ b: Self) -> Self { Self(a.float + b.float) }
    static func product(_ a: Self, _ b: Self) -> Self { Self(a.float * b.float) }
    static func precedes(_ a: Self, _ b: Self) -> Bool { Float.precedes(a.float, b.float) }
  }

  /// One byte, 0 or 1. The sum is "or", the product "and".
  struct Boolean: NumericElement {
    var byte: UInt8

    init(rounding value: Double) { byte = value == 0 ? 0 : 1 }
    init(_ value: Bool) { byte = value ? 1 : 0 }
    var asDouble: Double { byte == 0 ? 0 : 1 }
    var isNotANumber: Bool { false }
    static func sum(_ a: Self, _ b: Self) -> Self { Self(a.byte != 0 || b.byte != 0) }
    static func product(_ a: Self, _ b: Self) -> Self { Self(a.byte != 0 && b.byte != 0) }
    static func precedes(_ a: Self, _ b: Self) -> Bool { a.byte == 0 && b.byte != 0 }
  }
}

/// A computation written once for every numeric element type.
protocol NumericComputation {
  associatedtype Result
  func run<Element: NumericElement>(_: Element.Type) throws -> Result
}

/// Runs `computation` for the Swift type that holds elements of `type`.
func withNumericElement<Computation: NumericComputation>(
  of type: DataType, _ computation: Computation
) throws -> Computation.Result {
  switch type {
  case .float32: return try computation.run(Float.self)
  case .float64: return try computation.run(Double.self)
  case .float16: return try computation.run(Float16.self)
  case .bfloat16: return try computation.run(StoredElement.BrainFloat16.self)
  case .int8: return try computation.run(Int8.self)
  case .int16: return try computation.run(Int16.self)
  case .int32: return try computation.run(Int32.self)
  case .int64: return try computation.run(Int64.self)
  case .uint8: return try computation.run(UInt8.self)
  case .uint16: return try computation.run(UInt16.self)
  case .uint32: return try computation.run(UInt32.self)
  case .uint64: return try computation.run(UInt64.self)
  case .bool: return try computation.run(StoredElement.Boolean.self)
  default: throw Failure(.unsupported, "arithmetic on elements of type \(type.name) is not implemented")
  }
}

extension DataType {
  /// Types that `withNumericElement` accepts.
  var isComputable: Bool { isInteger || [.float32, .float64, .float16, .bfloat16, .bool].contains(self) }

  func requireComputable(named name: String) throws(Failure) {
    guard isComputable else {
      throw Failure(.unsupported, "'\(name)' has an element type that is not implemented here", actual: self.name)
    }
  }
}

extension Tensor {
  /// All elements as Double (exact up to 53 bits), for control decisions.
  func numbers() throws -> [Double] { try withNumericElement(of: type, ReadNumbers(tensor: self)) }

  /// Stores numbers into this tensor's memory, rounding to its element type.
  func store(_ numbers: [Double]) throws {
    guard numbers.count == count else {
      throw Failure(.internalError, "\(numbers.count) numbers do not fill shape \(shape)")
    }
    try withNumericElement(of: type, WriteNumbers(tensor: self, numbers: numbers))
  }

  /// One element of shape []. Types without arithmetic can only be zero (or, for strings, empty).
  static func scalar(_ type: DataType, _ value: Double) throws -> Tensor {
    let tensor = try Tensor(type: type, shape: [])
    if value == 0 || !type.isComputable {
      guard value == 0 else { throw Failure(.unsupported, "a constant of type \(type.name) is not implemented") }
      tensor.bytes.initializeMemory(as: UInt8.self, repeating: 0)
    } else {
      try tensor.store([value])
    }
    return tensor
  }

  /// Sets every element to the only element of `value`.
  func fill(with value: Tensor, pool: ThreadPool) throws {
    let copy = StridedCopy(shape: [count], sourceStrides: [0], destinationStrides: [1], pool: pool)
    try moveElements(copy, from: [value], to: [self])
  }
}

private struct ReadNumbers: NumericComputation {
  let tensor: Tensor
  func run<Element: NumericElement>(_: Element.Type) -> [Double] { tensor.buffer(Element.self).map(\.asDouble) }
}

private struct WriteNumbers: NumericComputation {
  let tensor: Tensor
  let numbers: [Double]
  func run<Element: NumericElement>(_: Element.Type) {
    let target = tensor.pointer(Element.self)
    for (index, number) in numbers.enumerated() { target[index] = Element(rounding: number) }
  }
}
