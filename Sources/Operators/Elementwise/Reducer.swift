import Glibc

/// One reduction in one compute type. `step` takes an element into a running value, `merge` joins two running values.
struct Reducer<Compute: ComputeElement>: Sendable {
  /// The result over no elements.
  let initial: Compute
  /// Takes a run of elements into one running value.
  let run: @Sendable (Compute, UnsafePointer<Compute>, Int) -> Compute
  /// Takes a row of elements into a row of running values.
  let rows: @Sendable (UnsafeMutablePointer<Compute>, UnsafePointer<Compute>, Int) -> Void
  /// From the running value and the number of elements to the result.
  let finish: @Sendable (Compute, Int) -> Compute

  /// Inlined, so that the loops are compiled with the functions in them. Eight running values per run keep the error of
  /// long sums small and their order fixed.
  @inline(__always)
  init(
    initial: Compute, step: @escaping @Sendable (Compute, Compute) -> Compute,
    merge: @escaping @Sendable (Compute, Compute) -> Compute,
    finish: @escaping @Sendable (Compute, Int) -> Compute = { value, _ in value }
  ) {
    self.initial = initial
    self.finish = finish
    run = { start, x, count in
      guard count >= 8 else {
        var total = start
        for i in 0..<count { total = step(total, x[i]) }
        return total
      }
      var (a, b, c, d) = (initial, initial, initial, initial)
      var (e, f, g, h) = (initial, initial, initial, initial)
      let whole = count & ~7
      var i = 0
      while i < whole {
        a = step(a, x[i])
        b = step(b, x[i + 1])
        c = step(c, x[i + 2])
        d = step(d, x[i + 3])
        e = step(e, x[i + 4])
        f = step(f, x[i + 5])
        g = step(g, x[i + 6])
        h = step(h, x[i + 7])
        i += 8
      }
      while i < count {
        a = step(a, x[i])
        i += 1
      }
      let lanes = merge(merge(merge(a, b), merge(c, d)), merge(merge(e, f), merge(g, h)))
      return merge(start, lanes)
    }
    rows = { totals, x, count in
      for i in 0..<count { totals[i] = step(totals[i], x[i]) }
    }
  }
}

/// The reductions of the table. Floats of every width are reduced in Double and rounded once.
enum Reduction: Sendable {
  case sum, mean, maximum, minimum, product, l1, l2, logSum, sumSquare, logSumExp

  /// ReduceLogSumExp has its own two passes (`ReductionOperator.logSumExp`).
  var real: Reducer<Double> {
    switch self {
    case .sum: Reducer(initial: 0, step: { $0 + $1 }, merge: { $0 + $1 })
    case .mean: Reducer(initial: 0, step: { $0 + $1 }, merge: { $0 + $1 }, finish: { $0 / Double($1) })
    case .maximum:
      Reducer(
        initial: -.infinity, step: { $0 > $1 || $0 != $0 ? $0 : $1 }, merge: { $0 > $1 || $0 != $0 ? $0 : $1 })
    case .minimum:
      Reducer(
        initial: .infinity, step: { $0 < $1 || $0 != $0 ? $0 : $1 }, merge: { $0 < $1 || $0 != $0 ? $0 : $1 })
    case .product: Reducer(initial: 1, step: { $0 * $1 }, merge: { $0 * $1 })
    case .l1: Reducer(initial: 0, step: { $0 + $1.magnitude }, merge: { $0 + $1 })
    case .l2:
      Reducer(initial: 0, step: { $0 + $1 * $1 }, merge: { $0 + $1 }, finish: { value, _ in value.squareRoot() })
    case .logSum, .logSumExp:
      Reducer(initial: 0, step: { $0 + $1 }, merge: { $0 + $1 }, finish: { value, _ in log(value) })
    case .sumSquare: Reducer(initial: 0, step: { $0 + $1 * $1 }, merge: { $0 + $1 })
    }
  }

  /// Integers wrap; results that are no integers (mean, root, logarithm) round toward zero. `lowest` and `highest` bound
  /// the stored type.
  func integer<Compute: ComputeElement & FixedWidthInteger>(lowest: Compute, highest: Compute) -> Reducer<Compute> {
    switch self {
    case .sum: Reducer(initial: 0, step: { $0 &+ $1 }, merge: { $0 &+ $1 })
    case .mean:
      Reducer(
        initial: 0, step: { $0 &+ $1 }, merge: { $0 &+ $1 },
        finish: { $1 == 0 ? 0 : $0 / Compute(truncatingIfNeeded: $1) })
    case .maximum: Reducer(initial: lowest, step: { $0 > $1 ? $0 : $1 }, merge: { $0 > $1 ? $0 : $1 })
    case .minimum: Reducer(initial: highest, step: { $0 < $1 ? $0 : $1 }, merge: { $0 < $1 ? $0 : $1 })
    case .product: Reducer(initial: 1, step: { $0 &* $1 }, merge: { $0 &* $1 })
    case .l1: Reducer(initial: 0, step: { $0 &+ ($1 < 0 ? 0 &- $1 : $1) }, merge: { $0 &+ $1 })
    case .l2:
      Reducer(
        initial: 0, step: { $0 &+ $1 &* $1 }, merge: { $0 &+ $1 },
        finish: { value, _ in Compute(truncatingIfNeeded: int64Bits(Double(value).squareRoot())) })
    case .logSum, .logSumExp:
      Reducer(
        initial: 0, step: { $0 &+ $1 }, merge: { $0 &+ $1 },
        finish: { value, _ in Compute(truncatingIfNeeded: int64Bits(log(Double(value)))) })
    case .sumSquare: Reducer(initial: 0, step: { $0 &+ $1 &* $1 }, merge: { $0 &+ $1 })
    }
  }
}
