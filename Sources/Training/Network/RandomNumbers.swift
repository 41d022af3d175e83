import Glibc

/// SplitMix64 (Steele, Lea and Flood 2014): one word of state, so that a checkpoint holds it whole.
struct SplitMix64: Sendable {
  var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }

  /// 53 random bits, in 0..<1.
  mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

  /// 0 ..< bound; the bias of the multiplication is below 2^-32 for the bounds used here.
  mutating func integer(below bound: Int) -> Int { min(bound - 1, Int(uniform() * Double(bound))) }

  /// A shuffled copy (Fisher and Yates).
  mutating func shuffled<Element>(_ elements: [Element]) -> [Element] {
    var result = elements
    guard result.count > 1 else { return result }
    for index in stride(from: result.count - 1, to: 0, by: -1) { result.swapAt(index, integer(below: index + 1)) }
    return result
  }
}

/// Inverted dropout by counter: whether a value stays depends on key, stream and position only, not on threads.
enum Dropout {
  /// Zeroes a share of `values` and scales the rest; `kept` receives the factors.
  static func apply(
    _ key: DropoutKey, stream: UInt64, to values: UnsafeMutablePointer<Float>, count: Int,
    kept: UnsafeMutablePointer<Float>?
  ) {
    guard key.share > 0 else { return }
    let factor = Float(1 / (1 - key.share))
    for index in 0..<count {
      var generator = SplitMix64(
        seed: key.seed ^ stream << 62 ^ UInt64(truncatingIfNeeded: index) &* 0xD6E8_FEB8_6659_FD93)
      let scale: Float = generator.uniform() < key.share ? 0 : factor
      values[index] *= scale
      kept?[index] = scale
    }
  }
}
