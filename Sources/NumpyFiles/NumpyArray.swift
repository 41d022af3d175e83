import Support

/// Element types of `.npy` files that are read and written; raw values are numpy's kind and size.
public enum NumpyType: String, Sendable, CaseIterable {
  case bool = "b1"
  case int8 = "i1"
  case int16 = "i2"
  case int32 = "i4"
  case int64 = "i8"
  case uint8 = "u1"
  case uint16 = "u2"
  case uint32 = "u4"
  case uint64 = "u8"
  case float16 = "f2"
  case float32 = "f4"
  case float64 = "f8"

  /// Bytes of one element.
  public var byteCount: Int {
    switch self {
    case .bool, .int8, .uint8: 1
    case .int16, .uint16, .float16: 2
    case .int32, .uint32, .float32: 4
    case .int64, .uint64, .float64: 8
    }
  }

  /// The type as a header spells it: `<f4`, `|u1`.
  public var descriptor: String { (byteCount == 1 ? "|" : "<") + rawValue }

  /// numpy's name of the type, as `numpy.dtype.name`.
  public var name: String { "\(self)" }
}

/// The contents of one `.npy` file: elements little-endian and row-major (C order), whatever order the file had.
public struct NumpyArray: Sendable, Equatable {
  public var type: NumpyType
  public var shape: [Int]
  public var bytes: [UInt8]

  /// `bytes` must hold exactly the elements of `shape`; throws `.shapeMismatch` otherwise.
  public init(type: NumpyType, shape: [Int], bytes: [UInt8]) throws(Failure) {
    let expected = try CheckedSize.product(shape + [type.byteCount], of: "array shape")
    guard bytes.count == expected else {
      throw Failure(
        .shapeMismatch, "\(type.name) array of shape \(shape) with the wrong number of bytes", expected: "\(expected)",
        actual: "\(bytes.count)")
    }
    self.type = type
    self.shape = shape
    self.bytes = bytes
  }

  /// Copies float32 values.
  public init(shape: [Int], floats: [Float]) throws(Failure) {
    try self.init(type: .float32, shape: shape, bytes: floats.withUnsafeBytes { [UInt8]($0) })
  }

  /// Elements as float32: float16 and float64 are converted, other types throw `.typeMismatch`.
  public func floats() throws(Failure) -> [Float] {
    switch type {
    case .float32: return elements(of: Float.self)
    case .float64: return elements(of: Double.self).map { Float($0) }
    case .float16: return elements(of: UInt16.self).map { NumpyArray.float(halfBits: $0) }
    default: throw Failure(.typeMismatch, "a floating-point array is required", actual: type.name)
    }
  }

  private func elements<Element: BitwiseCopyable>(of _: Element.Type) -> [Element] {
    bytes.withUnsafeBytes { raw in
      (0..<(raw.count / MemoryLayout<Element>.size)).map {
        raw.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Element>.size, as: Element.self)
      }
    }
  }

  /// IEEE 754 binary16 to binary32, exact for every value including subnormals, infinities and NaN.
  static func float(halfBits bits: UInt16) -> Float {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10) & 0x1F
    let fraction = UInt32(bits & 0x3FF)
    if exponent == 0 {
      let magnitude = Float(fraction) * 0x1p-24
      return sign == 0 ? magnitude : -magnitude
    }
    // 112 = 127 − 15, the difference of the exponent biases.
    let wide: UInt32 = exponent == 31 ? 0xFF : exponent + 112
    return Float(bitPattern: sign | wide << 23 | fraction << 13)
  }
}
