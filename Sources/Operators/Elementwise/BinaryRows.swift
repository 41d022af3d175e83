import KernelTable

/// One row of a binary operation: `result[i] = f(a[i * stepA], b[i * stepB])` for `count` elements; steps are 0 or 1.
///
/// `result` may be the memory of `a` or `b` if that input has step 1.
typealias BinaryRow<Element, Result> =
  @Sendable (
    _ a: UnsafePointer<Element>, _ stepA: Int, _ b: UnsafePointer<Element>, _ stepB: Int,
    _ result: UnsafeMutablePointer<Result>, _ count: Int
  ) -> Void

/// The row of an element function. Inlined, so that the loop is compiled with `f` in it.
@inline(__always)
func row<Element: BitwiseCopyable, Result: BitwiseCopyable>(
  _ f: @escaping @Sendable (Element, Element) -> Result
) -> BinaryRow<Element, Result> {
  { a, stepA, b, stepB, result, count in
    switch (stepA, stepB) {
    case (0, 0):
      guard count > 0 else { return }
      result.update(repeating: f(a[0], b[0]), count: count)
    case (0, _):
      let fixed = a[0]
      for i in 0..<count { result[i] = f(fixed, b[i]) }
    case (_, 0):
      let fixed = b[0]
      for i in 0..<count { result[i] = f(a[i], fixed) }
    default:
      for i in 0..<count { result[i] = f(a[i], b[i]) }
    }
  }
}

/// The row of kernels: `elementwise` for two vectors, `right` where b is one number, `left` where a is.
func row(
  _ elementwise: @escaping BinaryKernel, right: @escaping ScalarKernel, left: @escaping ScalarKernel
) -> BinaryRow<Float, Float> {
  { a, stepA, b, stepB, result, count in
    switch (stepA, stepB) {
    case (_, 0): right(a, b[0], result, stepA == 0 ? min(count, 1) : count)
    case (0, _): left(b, a[0], result, count)
    default: elementwise(a, b, result, count)
    }
    if stepA == 0, stepB == 0, count > 1 { result.update(repeating: result[0], count: count) }
  }
}

/// A binary operation in every compute type it is defined for.
struct BinaryFunction: Sendable {
  var float32: BinaryRow<Float, Float>?
  var float64: BinaryRow<Double, Double>?
  var int64: BinaryRow<Int64, Int64>?
  var uint64: BinaryRow<UInt64, UInt64>?
  var bool: BinaryRow<UInt8, UInt8>?

  func supports(_ kind: ComputeKind) -> Bool {
    switch kind {
    case .float32: float32 != nil
    case .float64: float64 != nil
    case .int64: int64 != nil
    case .uint64: uint64 != nil
    case .bool: bool != nil
    }
  }
}

/// A comparison in every compute type it is defined for; results are bool bytes.
struct ComparisonFunction: Sendable {
  var float32: BinaryRow<Float, UInt8>?
  var float64: BinaryRow<Double, UInt8>?
  var int64: BinaryRow<Int64, UInt8>?
  var uint64: BinaryRow<UInt64, UInt8>?
  var bool: BinaryRow<UInt8, UInt8>?
  var string: (@Sendable (String, String) -> Bool)?

  func supports(_ kind: ComputeKind) -> Bool {
    switch kind {
    case .float32: float32 != nil
    case .float64: float64 != nil
    case .int64: int64 != nil
    case .uint64: uint64 != nil
    case .bool: bool != nil
    }
  }
}
