import Graph
import Support

extension Tensor {
  /// The elements as float32, whatever floating-point type the graph uses; itself when it is float32 already.
  func asFloat32() throws(Failure) -> Tensor {
    switch type {
    case .float32: return self
    case .float16: return try converted(Float16.self) { Float($0) }
    case .bfloat16: return try converted(UInt16.self) { Float(bitPattern: UInt32($0) << 16) }
    case .float64: return try converted(Double.self) { Float($0) }
    default:
      throw Failure(.typeMismatch, "a floating-point tensor is required", expected: "float32", actual: type.name)
    }
  }

  private func converted<Element: BitwiseCopyable>(
    _ element: Element.Type, _ convert: (Element) -> Float
  ) throws(Failure) -> Tensor {
    let result = try Tensor(type: .float32, shape: shape)
    let from = buffer(Element.self)
    let into = result.buffer(Float.self)
    for index in 0..<count { into[index] = convert(from[index]) }
    return result
  }

  /// These float32 elements in another floating-point type, rounded to nearest even; itself for float32.
  func asFloatingPoint(_ target: DataType) throws(Failure) -> Tensor {
    guard target != .float32 else { return self }
    let result = try Tensor(type: target, shape: shape)
    let from = buffer(Float.self)
    switch target {
    case .float16:
      let into = result.buffer(Float16.self)
      for index in 0..<count { into[index] = Float16(from[index]) }
    case .float64:
      let into = result.buffer(Double.self)
      for index in 0..<count { into[index] = Double(from[index]) }
    case .bfloat16:
      let into = result.buffer(UInt16.self)
      for index in 0..<count {
        let bits = from[index].bitPattern
        into[index] =
          from[index].isNaN
          ? UInt16(truncatingIfNeeded: bits >> 16) | 0x40 : UInt16((bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16)
      }
    default: throw Failure(.typeMismatch, "the graph wants a type that floats cannot become", actual: target.name)
    }
    return result
  }

  /// A copy with fresh memory.
  func copied() throws(Failure) -> Tensor {
    let copy = try Tensor(type: type, shape: shape)
    copy.bytes.copyMemory(from: UnsafeRawBufferPointer(bytes))
    return copy
  }

  /// float32 elements, all finite?
  var isFinite: Bool {
    // A sum of absolute values would overflow; the exponent test does not.
    buffer(UInt32.self).allSatisfy { $0 & 0x7F80_0000 != 0x7F80_0000 }
  }
}
