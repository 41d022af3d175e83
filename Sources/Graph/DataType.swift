/// Element types of ONNX tensors; raw values are those of `TensorProto.DataType`.
public enum DataType: Int32, Sendable, Hashable, CaseIterable {
  case float32 = 1
  case uint8 = 2
  case int8 = 3
  case uint16 = 4
  case int16 = 5
  case int32 = 6
  case int64 = 7
  case string = 8
  case bool = 9
  case float16 = 10
  case float64 = 11
  case uint32 = 12
  case uint64 = 13
  case complex64 = 14
  case complex128 = 15
  case bfloat16 = 16
  case float8e4m3fn = 17
  case float8e4m3fnuz = 18
  case float8e5m2 = 19
  case float8e5m2fnuz = 20
  case uint4 = 21
  case int4 = 22
  case float4e2m1 = 23
  case float8e8m0 = 24
  case uint2 = 25
  case int2 = 26

  /// Bits of one element; strings have none (they live in `Tensor.strings`).
  public var bitWidth: Int {
    switch self {
    case .uint2, .int2: 2
    case .uint4, .int4, .float4e2m1: 4
    case .uint8, .int8, .bool, .float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz, .float8e8m0: 8
    case .uint16, .int16, .float16, .bfloat16: 16
    case .float32, .int32, .uint32: 32
    case .float64, .int64, .uint64, .complex64: 64
    case .complex128: 128
    case .string: 0
    }
  }

  /// Bytes that `count` packed elements occupy (two 4-bit or four 2-bit elements share a byte, first in the low bits).
  public func byteCount(_ count: Int) -> Int { (count * bitWidth + 7) / 8 }

  public var isFloatingPoint: Bool {
    switch self {
    case .float16, .bfloat16, .float32, .float64, .float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz,
      .float8e8m0, .float4e2m1:
      true
    default: false
    }
  }

  /// numpy's name of the type (`float32`, `int64`, `bool`, …).
  public var name: String { "\(self)" }
}
