import Glibc

/// How elements become one value: each is mapped, then they are merged in pairs.
protocol Fold<Value> {
  associatedtype Value: ComputeElement
  static func map(_ x: Value) -> Value
  static func merge(_ a: Value, _ b: Value) -> Value
}

/// One reduction in one compute type.
struct Reducer<Compute: ComputeElement>: Sendable {
  /// The result over no elements.
  let initial: Compute
  /// Takes a run of elements into one running value.
  let run: @Sendable (Compute, UnsafePointer<Compute>, Int) -> Compute
  /// Takes a row of elements into a row of running values.
  let rows: @Sendable (UnsafeMutablePointer<Compute>, UnsafePointer<Compute>, Int) -> Void
  /// From the running value and the number of elements to the result.
  let finish: @Sendable (Compute, Int) -> Compute

  init<Folding: Fold<Compute>>(
    _: Folding.Type, initial: Compute, finish: @escaping @Sendable (Compute, Int) -> Compute = { value, _ in value }
  ) {
    self.initial = initial
    self.finish = finish
    run = { start, x, count in foldRun(Folding.self, start, initial, x, count) }
    rows = { totals, x, count in
      for i in 0..<count { totals[i] = Folding.merge(totals[i], Folding.map(x[i])) }
    }
  }
}

/// Eight running values keep the error of long sums small, and their order is fixed.
@inline(__always)
private func foldRun<Folding: Fold>(
  _: Folding.Type, _ start: Folding.Value, _ initial: Folding.Value, _ x: UnsafePointer<Folding.Value>, _ count: Int
) -> Folding.Value {
  @inline(__always)
  func step(_ total: Folding.Value, _ index: Int) -> Folding.Value { Folding.merge(total, Folding.map(x[index])) }
  guard count >= 8 else {
    var total = start
    for i in 0..<count { total = step(total, i) }
    return total
  }
  var (a, b, c, d) = (initial, initial, initial, initial)
  var (e, f, g, h) = (initial, initial, initial, initial)
  let whole = count & ~7
  var i = 0
  while i < whole {
    a = step(a, i)
    b = step(b, i + 1)
    c = step(c, i + 2)
    d = step(d, i + 3)
    e = step(e, i + 4)
    f = step(f, i + 5)
    g = step(g, i + 6)
    h = step(h, i + 7)
    i += 8
  }
  while i < count {
    a = step(a, i)
    i += 1
  }
  let low = Folding.merge(Folding.merge(a, b), Folding.merge(c, d))
  let high = Folding.merge(Folding.merge(e, f), Folding.merge(g, h))
  return Folding.merge(start, Folding.merge(low, high))
}

/// The reductions of the table. Floats of every width are reduced in Double and rounded once.
enum Reduction: Sendable {
  case sum, mean, maximum, minimum, product, l1, l2, logSum, sumSquare, logSumExp

  /// ReduceLogSumExp has its own two passes (`ReductionOperator.logSumExp`).
  var real: Reducer<Double> {
    switch self {
    case .sum: Reducer(RealSum.self, initial: 0)
    case .mean: Reducer(RealSum.self, initial: 0) { $0 / Double($1) }
    case .maximum: Reducer(RealMaximum.self, initial: -.infinity)
    case .minimum: Reducer(RealMinimum.self, initial: .infinity)
    case .product: Reducer(RealProduct.self, initial: 1)
    case .l1: Reducer(RealMagnitudeSum.self, initial: 0)
    case .l2: Reducer(RealSquareSum.self, initial: 0) { value, _ in value.squareRoot() }
    case .logSum, .logSumExp: Reducer(RealSum.self, initial: 0) { value, _ in log(value) }
    case .sumSquare: Reducer(RealSquareSum.self, initial: 0)
    }
  }

  /// Integers wrap; results that are no integers (mean, root, logarithm) round toward zero. `lowest` and `highest` bound
  /// the stored type.
  func integer<Compute: ComputeElement & FixedWidthInteger>(lowest: Compute, highest: Compute) -> Reducer<Compute> {
    switch self {
    case .sum: Reducer(IntegerSum<Compute>.self, initial: 0)
    case .mean:
      Reducer(IntegerSum<Compute>.self, initial: 0) { $1 == 0 ? 0 : $0 / Compute(truncatingIfNeeded: $1) }
    case .maximum: Reducer(IntegerMaximum<Compute>.self, initial: lowest)
    case .minimum: Reducer(IntegerMinimum<Compute>.self, initial: highest)
    case .product: Reducer(IntegerProduct<Compute>.self, initial: 1)
    case .l1: Reducer(IntegerMagnitudeSum<Compute>.self, initial: 0)
    case .l2:
      Reducer(IntegerSquareSum<Compute>.self, initial: 0) { value, _ in
        Compute(truncatingIfNeeded: int64Bits(Double(value).squareRoot()))
      }
    case .logSum, .logSumExp:
      Reducer(IntegerSum<Compute>.self, initial: 0) { value, _ in
        Compute(truncatingIfNeeded: int64Bits(log(Double(value))))
      }
    case .sumSquare: Reducer(IntegerSquareSum<Compute>.self, initial: 0)
    }
  }
}

private enum RealSum: Fold {
  static func map(_ x: Double) -> Double { x }
  static func merge(_ a: Double, _ b: Double) -> Double { a + b }
}

private enum RealMagnitudeSum: Fold {
  static func map(_ x: Double) -> Double { x.magnitude }
  static func merge(_ a: Double, _ b: Double) -> Double { a + b }
}

private enum RealSquareSum: Fold {
  static func map(_ x: Double) -> Double { x * x }
  static func merge(_ a: Double, _ b: Double) -> Double { a + b }
}

private enum RealProduct: Fold {
  static func map(_ x: Double) -> Double { x }
  static func merge(_ a: Double, _ b: Double) -> Double { a * b }
}

/// NaN wins.
private enum RealMaximum: Fold {
  static func map(_ x: Double) -> Double { x }
  static func merge(_ a: Double, _ b: Double) -> Double { a > b || a != a ? a : b }
}

/// NaN wins.
private enum RealMinimum: Fold {
  static func map(_ x: Double) -> Double { x }
  static func merge(_ a: Double, _ b: Double) -> Double { a < b || a != a ? a : b }
}

private enum IntegerSum<Value: ComputeElement & FixedWidthInteger>: Fold {
  static func map(_ x: Value) -> Value { x }
  static func merge(_ a: Value, _ b: Value) -> Value { a &+ b }
}

private enum IntegerMagnitudeSum<Value: ComputeElement & FixedWidthInteger>: Fold {
  static func map(_ x: Value) -> Value { x < 0 ? 0 &- x : x }
  static func merge(_ a: Value, _ b: Value) -> Value { a &+ b }
}

private enum IntegerSquareSum<Value: ComputeElement & FixedWidthInteger>: Fold {
  static func map(_ x: Value) -> Value { x &* x }
  static func merge(_ a: Value, _ b: Value) -> Value { a &+ b }
}

private enum IntegerProduct<Value: ComputeElement & FixedWidthInteger>: Fold {
  static func map(_ x: Value) -> Value { x }
  static func merge(_ a: Value, _ b: Value) -> Value { a &* b }
}

private enum IntegerMaximum<Value: ComputeElement & FixedWidthInteger>: Fold {
  static func map(_ x: Value) -> Value { x }
  static func merge(_ a: Value, _ b: Value) -> Value { a > b ? a : b }
}

private enum IntegerMinimum<Value: ComputeElement & FixedWidthInteger>: Fold {
  static func map(_ x: Value) -> Value { x }
  static func merge(_ a: Value, _ b: Value) -> Value { a < b ? a : b }
}
