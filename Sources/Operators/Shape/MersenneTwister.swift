/// MT19937 seeded and read as NumPy's legacy `RandomState` does, so that a seed gives NumPy's numbers.
///
/// M. Matsumoto, T. Nishimura: "Mersenne Twister: A 623-dimensionally equidistributed uniform pseudo-random number
/// generator", 1998.
struct NumPyRandomState {
  private static let length = 624
  private static let middle = 397
  private var state: [UInt32]
  private var position = length

  init(seed: UInt32) {
    state = [seed]
    state.reserveCapacity(Self.length)
    for index in 1..<Self.length {
      let previous = state[index - 1]
      state.append(1_812_433_253 &* (previous ^ previous >> 30) &+ UInt32(index))
    }
  }

  private mutating func refill() {
    for index in 0..<Self.length {
      let mixed = state[index] & 0x8000_0000 | state[(index + 1) % Self.length] & 0x7FFF_FFFF
      state[index] = state[(index + Self.middle) % Self.length] ^ mixed >> 1 ^ (mixed & 1 == 0 ? 0 : 0x9908_B0DF)
    }
    position = 0
  }

  mutating func next() -> UInt32 {
    if position == Self.length { refill() }
    var value = state[position]
    position += 1
    value ^= value >> 11
    value ^= value << 7 & 0x9D2C_5680
    value ^= value << 15 & 0xEFC6_0000
    return value ^ value >> 18
  }

  /// Uniform in [0, 1) with 53 random bits.
  mutating func uniform() -> Double {
    let high = Double(next() >> 5)
    let low = Double(next() >> 6)
    return (high * 67_108_864 + low) / 9_007_199_254_740_992
  }
}
