import Glibc
import KernelTable
import Kernels

private let kernels = Kernels.current

/// The operations themselves, in every compute type they are defined for. Integers wrap; nothing traps.
extension BinaryFunction {
  static let addition = BinaryFunction(
    float32: row(kernels.add, right: kernels.addScalar, left: kernels.addScalar),
    float64: row { $0 + $1 }, int64: row { $0 &+ $1 }, uint64: row { $0 &+ $1 })

  static let subtraction = BinaryFunction(
    float32: row(kernels.subtract, right: kernels.subtractScalar, left: kernels.scalarSubtract),
    float64: row { $0 - $1 }, int64: row { $0 &- $1 }, uint64: row { $0 &- $1 })

  static let multiplication = BinaryFunction(
    float32: row(kernels.multiply, right: kernels.multiplyScalar, left: kernels.multiplyScalar),
    float64: row { $0 * $1 }, int64: row { $0 &* $1 }, uint64: row { $0 &* $1 })

  /// Integers round toward zero; division by zero gives 0.
  static let division = BinaryFunction(
    float32: row(kernels.divide, right: kernels.divideScalar, left: kernels.scalarDivide),
    float64: row { $0 / $1 },
    int64: row { $1 == 0 ? 0 : $0.dividedReportingOverflow(by: $1).partialValue },
    uint64: row { $1 == 0 ? 0 : $0 / $1 })

  /// NaN in either input gives NaN.
  static let maximum = BinaryFunction(
    float32: row { $0 > $1 || $0 != $0 ? $0 : $1 }, float64: row { $0 > $1 || $0 != $0 ? $0 : $1 },
    int64: row { $0 > $1 ? $0 : $1 }, uint64: row { $0 > $1 ? $0 : $1 })

  static let minimum = BinaryFunction(
    float32: row { $0 < $1 || $0 != $0 ? $0 : $1 }, float64: row { $0 < $1 || $0 != $0 ? $0 : $1 },
    int64: row { $0 < $1 ? $0 : $1 }, uint64: row { $0 < $1 ? $0 : $1 })

  /// The remainder with the divisor's sign (Python's `%`), integers only; modulo zero gives 0.
  static let flooredRemainder = BinaryFunction(
    int64: row { (a: Int64, b: Int64) -> Int64 in
      guard b != 0 else { return 0 }
      let remainder = a.remainderReportingOverflow(dividingBy: b).partialValue
      return remainder != 0 && (remainder < 0) != (b < 0) ? remainder &+ b : remainder
    },
    uint64: row { $1 == 0 ? 0 : $0 % $1 })

  /// The remainder with the dividend's sign (C's `fmod`).
  static let truncatedRemainder = BinaryFunction(
    float32: row { fmodf($0, $1) }, float64: row { fmod($0, $1) },
    int64: row { $1 == 0 ? 0 : $0.remainderReportingOverflow(dividingBy: $1).partialValue },
    uint64: row { $1 == 0 ? 0 : $0 % $1 })

  static let pow = BinaryFunction(
    float32: { x, stepX, y, stepY, result, count in
      // x² and x³, the usual cases, without the library call.
      if stepX == 1, stepY == 0, count > 0, y[0] == 2 || y[0] == 3 {
        if y[0] == 2 { kernels.multiply(x, x, result, count) } else { mapElements(x, result, count) { $0 * $0 * $0 } }
        return
      }
      for i in 0..<count { result[i] = powf(x[i * stepX], y[i * stepY]) }
    },
    float64: row { Glibc.pow($0, $1) },
    int64: row { integerPower($0, $1) })

  static let prelu = BinaryFunction(
    float32: row { $0 < 0 ? $0 * $1 : $0 }, float64: row { $0 < 0 ? $0 * $1 : $0 },
    int64: row { $0 < 0 ? $0 &* $1 : $0 }, uint64: row { x, _ in x })

  static let and = BinaryFunction(bool: row { $0 & $1 })
  static let or = BinaryFunction(bool: row { $0 | $1 })
  static let xor = BinaryFunction(bool: row { $0 ^ $1 })

  static let bitwiseAnd = BinaryFunction(int64: row { $0 & $1 }, uint64: row { $0 & $1 })
  static let bitwiseOr = BinaryFunction(int64: row { $0 | $1 }, uint64: row { $0 | $1 })
  static let bitwiseXor = BinaryFunction(int64: row { $0 ^ $1 }, uint64: row { $0 ^ $1 })

  /// Shifting by the width or more gives 0.
  static let shiftLeft = BinaryFunction(uint64: row { $1 < 64 ? $0 &<< $1 : 0 })
  static let shiftRight = BinaryFunction(uint64: row { $1 < 64 ? $0 &>> $1 : 0 })
}

extension ComparisonFunction {
  static let equal = ComparisonFunction(
    float32: row { $0 == $1 ? 1 : 0 }, float64: row { $0 == $1 ? 1 : 0 }, int64: row { $0 == $1 ? 1 : 0 },
    uint64: row { $0 == $1 ? 1 : 0 }, bool: row { ($0 != 0) == ($1 != 0) ? 1 : 0 },
    // Bytes, not Unicode equivalence.
    string: { $0.utf8.elementsEqual($1.utf8) })

  static let less = ComparisonFunction(
    float32: row { $0 < $1 ? 1 : 0 }, float64: row { $0 < $1 ? 1 : 0 }, int64: row { $0 < $1 ? 1 : 0 },
    uint64: row { $0 < $1 ? 1 : 0 })

  static let lessOrEqual = ComparisonFunction(
    float32: row { $0 <= $1 ? 1 : 0 }, float64: row { $0 <= $1 ? 1 : 0 }, int64: row { $0 <= $1 ? 1 : 0 },
    uint64: row { $0 <= $1 ? 1 : 0 })

  static let greater = ComparisonFunction(
    float32: row { $0 > $1 ? 1 : 0 }, float64: row { $0 > $1 ? 1 : 0 }, int64: row { $0 > $1 ? 1 : 0 },
    uint64: row { $0 > $1 ? 1 : 0 })

  static let greaterOrEqual = ComparisonFunction(
    float32: row { $0 >= $1 ? 1 : 0 }, float64: row { $0 >= $1 ? 1 : 0 }, int64: row { $0 >= $1 ? 1 : 0 },
    uint64: row { $0 >= $1 ? 1 : 0 })
}

/// `base` to the power `exponent`, low 64 bits. A negative exponent gives the truncated reciprocal: 0 except for bases 1
/// and -1 (and 0 for base 0, where there is no answer).
private func integerPower(_ base: Int64, _ exponent: Int64) -> Int64 {
  if exponent < 0 {
    switch base {
    case 1: return 1
    case -1: return exponent & 1 == 0 ? 1 : -1
    default: return 0
    }
  }
  var result: Int64 = 1
  var factor = base
  var remaining = exponent
  while remaining > 0 {
    if remaining & 1 == 1 { result = result &* factor }
    factor = factor &* factor
    remaining >>= 1
  }
  return result
}
