import Glibc
import Graph
import Support

/// The two types that the generic operators compute in.
protocol Real: BinaryFloatingPoint, BitwiseCopyable, Sendable {
  static var dataType: DataType { get }
  static func exp(_ x: Self) -> Self
  static func log(_ x: Self) -> Self
  static func tanh(_ x: Self) -> Self
  static func pow(_ x: Self, _ y: Self) -> Self
}

extension Float: Real {
  static var dataType: DataType { .float32 }
  static func exp(_ x: Float) -> Float { Glibc.expf(x) }
  static func log(_ x: Float) -> Float { Glibc.logf(x) }
  static func tanh(_ x: Float) -> Float { Glibc.tanhf(x) }
  static func pow(_ x: Float, _ y: Float) -> Float { Glibc.powf(x, y) }
}

extension Double: Real {
  static var dataType: DataType { .float64 }
  static func exp(_ x: Double) -> Double { Glibc.exp(x) }
  static func log(_ x: Double) -> Double { Glibc.log(x) }
  static func tanh(_ x: Double) -> Double { Glibc.tanh(x) }
  static func pow(_ x: Double, _ y: Double) -> Double { Glibc.pow(x, y) }
}

/// Both element types of `Real`, for type checks.
let realTypes: [DataType] = [.float32, .float64]
