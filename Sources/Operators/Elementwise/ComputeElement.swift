import Graph
import KernelTable
import Kernels

/// How values that do not fit a narrow type are treated; only `Cast` and `QuantizeLinear` differ from `standard`.
struct NarrowingRules: Sendable {
  var saturate = true
  var powerOfTwoRounding = PowerOfTwo.Rounding.up
  static let standard = NarrowingRules()
}

/// The types operators compute in: Float, Double, Int64, UInt64. Every stored type converts to and from them a chunk at a
/// time, so that a kernel exists four times and not once per stored type.
///
/// Which of them represents a stored type without loss: `ComputeKind`.
protocol ComputeElement: BitwiseCopyable, Sendable {
  /// Reads `count` elements of `type` starting at element `offset`.
  static func widen(
    _ type: DataType, _ source: UnsafeRawPointer, at offset: Int, count: Int, into target: UnsafeMutablePointer<Self>)

  /// Writes `count` elements of `type` starting at element `offset`. For types below one byte `offset` is a multiple of 8.
  /// Floats round half to even, integers keep their low bits.
  static func narrow(
    _ type: DataType, _ source: UnsafePointer<Self>, count: Int, into target: UnsafeMutableRawPointer, at offset: Int,
    rules: NarrowingRules)
}

/// The compute type that holds every value of a stored type exactly.
enum ComputeKind {
  case float32, float64, int64, uint64, bool

  /// Nil for strings, complex numbers and the storage-only types of 8 bits and fewer.
  init?(_ type: DataType) {
    switch type {
    case .float32, .float16, .bfloat16: self = .float32
    case .float64: self = .float64
    case .int8, .int16, .int32, .int64: self = .int64
    case .uint8, .uint16, .uint32, .uint64: self = .uint64
    case .bool: self = .bool
    default: return nil
    }
  }
}

/// Elements that one pass of a converting operator handles at a time (4 KiB of Double, in the first-level cache).
let chunkLength = 512

@inline(__always)
private func load<Stored: BitwiseCopyable, Compute>(
  _: Stored.Type, _ source: UnsafeRawPointer, _ offset: Int, _ count: Int, _ target: UnsafeMutablePointer<Compute>,
  _ convert: (Stored) -> Compute
) {
  let first = source.assumingMemoryBound(to: Stored.self) + offset
  for i in 0..<count { target[i] = convert(first[i]) }
}

@inline(__always)
private func store<Stored: BitwiseCopyable, Compute>(
  _: Stored.Type, _ source: UnsafePointer<Compute>, _ count: Int, _ target: UnsafeMutableRawPointer, _ offset: Int,
  _ convert: (Compute) -> Stored
) {
  let first = target.assumingMemoryBound(to: Stored.self) + offset
  for i in 0..<count { first[i] = convert(source[i]) }
}

/// Reads elements of 2 or 4 bits, the first in the low bits of a byte.
@inline(__always)
private func loadPacked<Compute>(
  bits: Int, _ source: UnsafeRawPointer, _ offset: Int, _ count: Int, _ target: UnsafeMutablePointer<Compute>,
  _ convert: (UInt8) -> Compute
) {
  let bytes = source.assumingMemoryBound(to: UInt8.self)
  let mask = UInt8((1 << bits) - 1)
  for i in 0..<count {
    let position = (offset + i) * bits
    target[i] = convert((bytes[position >> 3] >> UInt8(position & 7)) & mask)
  }
}

/// Writes elements of 2 or 4 bits; bits of a last incomplete byte are zero.
@inline(__always)
private func storePacked<Compute>(
  bits: Int, _ source: UnsafePointer<Compute>, _ count: Int, _ target: UnsafeMutableRawPointer, _ offset: Int,
  _ convert: (Compute) -> UInt8
) {
  let bytes = target.assumingMemoryBound(to: UInt8.self) + offset * bits / 8
  let mask = UInt8((1 << bits) - 1)
  let perByte = 8 / bits
  for start in stride(from: 0, to: count, by: perByte) {
    var byte: UInt8 = 0
    for i in start..<min(start + perByte, count) {
      byte |= (convert(source[i]) & mask) << UInt8((i - start) * bits)
    }
    bytes[start / perByte] = byte
  }
}

/// The low `bits` of a byte as a signed number.
@inline(__always)
private func signExtend(_ code: UInt8, bits: UInt8) -> Int8 {
  Int8(truncatingIfNeeded: code << (8 - bits)) >> Int8(8 - bits)
}

extension ComputeElement where Self: BinaryFloatingPoint {
  @inline(__always)
  fileprivate static func widenFloating(
    _ type: DataType, _ source: UnsafeRawPointer, at offset: Int, count: Int, into target: UnsafeMutablePointer<Self>
  ) {
    switch type {
    case .float32: load(Float.self, source, offset, count, target) { Self($0) }
    case .float64: load(Double.self, source, offset, count, target) { Self($0) }
    case .float16: load(UInt16.self, source, offset, count, target) { Self(float(fromHalf: $0)) }
    case .bfloat16: load(UInt16.self, source, offset, count, target) { Self(Float(bitPattern: UInt32($0) << 16)) }
    case .int8: load(Int8.self, source, offset, count, target) { Self($0) }
    case .int16: load(Int16.self, source, offset, count, target) { Self($0) }
    case .int32: load(Int32.self, source, offset, count, target) { Self($0) }
    case .int64: load(Int64.self, source, offset, count, target) { Self($0) }
    case .uint8: load(UInt8.self, source, offset, count, target) { Self($0) }
    case .bool: load(UInt8.self, source, offset, count, target) { $0 == 0 ? 0 : 1 }
    case .uint16: load(UInt16.self, source, offset, count, target) { Self($0) }
    case .uint32: load(UInt32.self, source, offset, count, target) { Self($0) }
    case .uint64: load(UInt64.self, source, offset, count, target) { Self($0) }
    case .uint4: loadPacked(bits: 4, source, offset, count, target) { Self($0) }
    case .int4: loadPacked(bits: 4, source, offset, count, target) { Self(signExtend($0, bits: 4)) }
    case .uint2: loadPacked(bits: 2, source, offset, count, target) { Self($0) }
    case .int2: loadPacked(bits: 2, source, offset, count, target) { Self(signExtend($0, bits: 2)) }
    case .float4e2m1:
      let values = MiniFloat.e2m1Values
      loadPacked(bits: 4, source, offset, count, target) { Self(values[Int($0)]) }
    case .float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz, .float8e8m0:
      let values =
        switch type {
        case .float8e4m3fn: MiniFloat.e4m3fnValues
        case .float8e4m3fnuz: MiniFloat.e4m3fnuzValues
        case .float8e5m2: MiniFloat.e5m2Values
        case .float8e5m2fnuz: MiniFloat.e5m2fnuzValues
        default: PowerOfTwo.values
        }
      load(UInt8.self, source, offset, count, target) { Self(values[Int($0)]) }
    case .string, .complex64, .complex128: target.update(repeating: .nan, count: count)
    }
  }

  @inline(__always)
  fileprivate static func narrowFloating(
    _ type: DataType, _ source: UnsafePointer<Self>, count: Int, into target: UnsafeMutableRawPointer, at offset: Int,
    rules: NarrowingRules
  ) {
    switch type {
    case .float32: store(Float.self, source, count, target, offset) { Float($0) }
    case .float64: store(Double.self, source, count, target, offset) { Double($0) }
    case .int8: store(Int8.self, source, count, target, offset) { Int8(truncatingIfNeeded: int32Bits(Double($0))) }
    case .int16: store(Int16.self, source, count, target, offset) { Int16(truncatingIfNeeded: int32Bits(Double($0))) }
    case .int32: store(Int32.self, source, count, target, offset) { int32Bits(Double($0)) }
    case .int64: store(Int64.self, source, count, target, offset) { int64Bits(Double($0)) }
    case .uint8: store(UInt8.self, source, count, target, offset) { UInt8(truncatingIfNeeded: int32Bits(Double($0))) }
    case .bool: store(UInt8.self, source, count, target, offset) { $0 == 0 ? 0 : 1 }
    case .uint16:
      store(UInt16.self, source, count, target, offset) { UInt16(truncatingIfNeeded: int32Bits(Double($0))) }
    case .uint32:
      store(UInt32.self, source, count, target, offset) { UInt32(truncatingIfNeeded: int64Bits(Double($0))) }
    case .uint64: store(UInt64.self, source, count, target, offset) { uint64Bits(Double($0)) }
    case .uint4, .int4:
      storePacked(bits: 4, source, count, target, offset) { UInt8(truncatingIfNeeded: int32Bits(Double($0))) }
    case .uint2, .int2:
      storePacked(bits: 2, source, count, target, offset) { UInt8(truncatingIfNeeded: int32Bits(Double($0))) }
    case .float16:
      store(UInt16.self, source, count, target, offset) { MiniFloat.float16.encode(Double($0), saturate: false) }
    case .bfloat16:
      store(UInt16.self, source, count, target, offset) { MiniFloat.bfloat16.encode(Double($0), saturate: false) }
    case .float4e2m1:
      storePacked(bits: 4, source, count, target, offset) {
        UInt8(truncatingIfNeeded: MiniFloat.e2m1.encode(Double($0), saturate: true))
      }
    case .float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz:
      let format: MiniFloat =
        switch type {
        case .float8e4m3fn: .e4m3fn
        case .float8e4m3fnuz: .e4m3fnuz
        case .float8e5m2: .e5m2
        default: .e5m2fnuz
        }
      store(UInt8.self, source, count, target, offset) {
        UInt8(truncatingIfNeeded: format.encode(Double($0), saturate: rules.saturate))
      }
    case .float8e8m0:
      store(UInt8.self, source, count, target, offset) {
        PowerOfTwo.encode(Double($0), rounding: rules.powerOfTwoRounding, saturate: rules.saturate)
      }
    case .string, .complex64, .complex128: break
    }
  }
}

extension Double: ComputeElement {
  static func widen(
    _ type: DataType, _ source: UnsafeRawPointer, at offset: Int, count: Int, into target: UnsafeMutablePointer<Double>
  ) { widenFloating(type, source, at: offset, count: count, into: target) }

  static func narrow(
    _ type: DataType, _ source: UnsafePointer<Double>, count: Int, into target: UnsafeMutableRawPointer, at offset: Int,
    rules: NarrowingRules
  ) { narrowFloating(type, source, count: count, into: target, at: offset, rules: rules) }
}

extension Float: ComputeElement {
  static func widen(
    _ type: DataType, _ source: UnsafeRawPointer, at offset: Int, count: Int, into target: UnsafeMutablePointer<Float>
  ) {
    switch type {
    case .float16: Kernels.current.fromFloat16(source.assumingMemoryBound(to: UInt16.self) + offset, target, count)
    case .bfloat16: Kernels.current.fromBFloat16(source.assumingMemoryBound(to: UInt16.self) + offset, target, count)
    default: widenFloating(type, source, at: offset, count: count, into: target)
    }
  }

  static func narrow(
    _ type: DataType, _ source: UnsafePointer<Float>, count: Int, into target: UnsafeMutableRawPointer, at offset: Int,
    rules: NarrowingRules
  ) {
    switch type {
    case .float16: Kernels.current.toFloat16(source, target.assumingMemoryBound(to: UInt16.self) + offset, count)
    case .bfloat16: Kernels.current.toBFloat16(source, target.assumingMemoryBound(to: UInt16.self) + offset, count)
    default: narrowFloating(type, source, count: count, into: target, at: offset, rules: rules)
    }
  }
}

extension ComputeElement where Self: FixedWidthInteger {
  @inline(__always)
  fileprivate static func widenInteger(
    _ type: DataType, _ source: UnsafeRawPointer, at offset: Int, count: Int, into target: UnsafeMutablePointer<Self>
  ) {
    switch type {
    case .int8: load(Int8.self, source, offset, count, target) { Self(truncatingIfNeeded: $0) }
    case .int16: load(Int16.self, source, offset, count, target) { Self(truncatingIfNeeded: $0) }
    case .int32: load(Int32.self, source, offset, count, target) { Self(truncatingIfNeeded: $0) }
    case .int64: load(Int64.self, source, offset, count, target) { Self(truncatingIfNeeded: $0) }
    case .uint8: load(UInt8.self, source, offset, count, target) { Self(truncatingIfNeeded: $0) }
    case .bool: load(UInt8.self, source, offset, count, target) { $0 == 0 ? 0 : 1 }
    case .uint16: load(UInt16.self, source, offset, count, target) { Self(truncatingIfNeeded: $0) }
    case .uint32: load(UInt32.self, source, offset, count, target) { Self(truncatingIfNeeded: $0) }
    case .uint64: load(UInt64.self, source, offset, count, target) { Self(truncatingIfNeeded: $0) }
    case .uint4: loadPacked(bits: 4, source, offset, count, target) { Self(truncatingIfNeeded: $0) }
    case .int4:
      loadPacked(bits: 4, source, offset, count, target) { Self(truncatingIfNeeded: signExtend($0, bits: 4)) }
    case .uint2: loadPacked(bits: 2, source, offset, count, target) { Self(truncatingIfNeeded: $0) }
    case .int2:
      loadPacked(bits: 2, source, offset, count, target) { Self(truncatingIfNeeded: signExtend($0, bits: 2)) }
    case .float16, .bfloat16, .float32, .float64, .float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz,
      .float8e8m0, .float4e2m1, .string, .complex64, .complex128:
      target.update(repeating: 0, count: count)
    }
  }

  @inline(__always)
  fileprivate static func narrowInteger(
    _ type: DataType, _ source: UnsafePointer<Self>, count: Int, into target: UnsafeMutableRawPointer, at offset: Int,
    rules: NarrowingRules
  ) {
    switch type {
    case .int8, .uint8: store(UInt8.self, source, count, target, offset) { UInt8(truncatingIfNeeded: $0) }
    case .int16, .uint16: store(UInt16.self, source, count, target, offset) { UInt16(truncatingIfNeeded: $0) }
    case .int32, .uint32: store(UInt32.self, source, count, target, offset) { UInt32(truncatingIfNeeded: $0) }
    case .int64, .uint64: store(UInt64.self, source, count, target, offset) { UInt64(truncatingIfNeeded: $0) }
    case .bool: store(UInt8.self, source, count, target, offset) { $0 == 0 ? 0 : 1 }
    case .uint4, .int4: storePacked(bits: 4, source, count, target, offset) { UInt8(truncatingIfNeeded: $0) }
    case .uint2, .int2: storePacked(bits: 2, source, count, target, offset) { UInt8(truncatingIfNeeded: $0) }
    case .float32: store(Float.self, source, count, target, offset) { Float($0) }
    case .float64: store(Double.self, source, count, target, offset) { Double($0) }
    case .string, .complex64, .complex128: break
    case .float16, .bfloat16, .float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz, .float8e8m0, .float4e2m1:
      withUnsafeTemporaryAllocation(of: Double.self, capacity: count) { buffer in
        guard let doubles = buffer.baseAddress else { return }
        for i in 0..<count { doubles[i] = Double(source[i]) }
        Double.narrow(type, doubles, count: count, into: target, at: offset, rules: rules)
      }
    }
  }
}

extension Int64: ComputeElement {
  static func widen(
    _ type: DataType, _ source: UnsafeRawPointer, at offset: Int, count: Int, into target: UnsafeMutablePointer<Int64>
  ) { widenInteger(type, source, at: offset, count: count, into: target) }

  static func narrow(
    _ type: DataType, _ source: UnsafePointer<Int64>, count: Int, into target: UnsafeMutableRawPointer, at offset: Int,
    rules: NarrowingRules
  ) { narrowInteger(type, source, count: count, into: target, at: offset, rules: rules) }
}

extension UInt64: ComputeElement {
  static func widen(
    _ type: DataType, _ source: UnsafeRawPointer, at offset: Int, count: Int, into target: UnsafeMutablePointer<UInt64>
  ) { widenInteger(type, source, at: offset, count: count, into: target) }

  static func narrow(
    _ type: DataType, _ source: UnsafePointer<UInt64>, count: Int, into target: UnsafeMutableRawPointer, at offset: Int,
    rules: NarrowingRules
  ) { narrowInteger(type, source, count: count, into: target, at: offset, rules: rules) }
}
