/// The random numbers of torch's CPU generator: `torch.Generator().manual_seed(seed)`, bit for bit.
///
/// Successive calls continue the stream exactly as successive torch calls with one generator do. Single precision
/// normals of 16 or more values follow torch's AVX2 code, which every x86-64 machine of the last decade runs; the
/// values then do not depend on the machine this library runs on.
///
///     var generator = TorchGenerator(seed: 42)
///     let latents = generator.normal(count: 4 * 64 * 64)  // torch.randn(4, 64, 64, generator=g)
public struct TorchGenerator: Sendable {
  private var twister: MersenneTwister
  /// The sine half of the last scalar Box-Muller pair, handed out by the next scalar draw.
  private var spareNormal: Double?

  public init(seed: UInt64) {
    // torch keeps 64 bits of seed but seeds the twister with the low 32.
    twister = MersenneTwister(seed: UInt32(truncatingIfNeeded: seed))
  }

  /// `torch.randn(count)` in float32.
  public mutating func normal(count: Int) -> [Float] {
    let size = max(0, count)
    return [Float](unsafeUninitializedCapacity: size) { buffer, initialized in
      fillNormal(buffer)
      initialized = size
    }
  }

  /// Fills `buffer` as `torch.randn` fills a contiguous float32 tensor of that size; the shape does not matter.
  public mutating func fillNormal(_ buffer: UnsafeMutableBufferPointer<Float>) {
    guard let values = buffer.baseAddress, !buffer.isEmpty else { return }
    let count = buffer.count
    guard count >= 16 else {
      for i in 0..<count { values[i] = Float(scalarNormal()) }
      return
    }
    for i in 0..<count { values[i] = uniformFloat() }
    var start = 0
    while start + 16 <= count {
      BoxMuller.transform(values + start)
      start += 16
    }
    // An incomplete last chunk is drawn anew, together with the end of the one before.
    if start < count {
      let tail = values + (count - 16)
      for i in 0..<16 { tail[i] = uniformFloat() }
      BoxMuller.transform(tail)
    }
  }

  /// `torch.randn(count, dtype=torch.float64)`, up to the last bit of the C library's log, sin and cos.
  public mutating func normalDouble(count: Int) -> [Double] {
    let size = max(0, count)
    guard size >= 16 else { return (0..<size).map { _ in scalarNormal() } }
    var values = (0..<size).map { _ in uniformDouble() }
    var start = 0
    while start + 16 <= size {
      BoxMuller.transform(&values, from: start)
      start += 16
    }
    if start < size {
      for i in size - 16..<size { values[i] = uniformDouble() }
      BoxMuller.transform(&values, from: size - 16)
    }
    return values
  }

  /// `torch.rand(count)` in float32: 24 random bits, in 0..<1.
  public mutating func uniform(count: Int) -> [Float] {
    (0..<max(0, count)).map { _ in uniformFloat() }
  }

  private mutating func uniformFloat() -> Float {
    Float(twister.next() & 0xFF_FFFF) * 0x1p-24
  }

  private mutating func uniformDouble() -> Double {
    let high = UInt64(twister.next())
    let low = UInt64(twister.next())
    return Double((high << 32 | low) & ((1 << 53) - 1)) * 0x1p-53
  }

  /// One normal value in Double; two of them come from each pair of uniforms.
  private mutating func scalarNormal() -> Double {
    if let spare = spareNormal {
      spareNormal = nil
      return spare
    }
    let angle = uniformDouble()
    let (cosine, sine) = BoxMuller.pair(logarithmOfOneMinus: uniformDouble(), angle: angle)
    spareNormal = sine
    return cosine
  }
}

/// The 32-bit Mersenne Twister of Matsumoto and Nishimura (1998), mt19937.
struct MersenneTwister: Sendable {
  private static let size = 624
  private static let shift = 397

  private var state: [UInt32]
  private var position = MersenneTwister.size

  init(seed: UInt32) {
    state = [UInt32](repeating: 0, count: Self.size)
    state[0] = seed
    for i in 1..<Self.size {
      let previous = state[i - 1]
      state[i] = 1_812_433_253 &* (previous ^ previous >> 30) &+ UInt32(i)
    }
  }

  mutating func next() -> UInt32 {
    if position == Self.size {
      regenerate()
      position = 0
    }
    var value = state[position]
    position += 1
    value ^= value >> 11
    value ^= value << 7 & 0x9D2C_5680
    value ^= value << 15 & 0xEFC6_0000
    value ^= value >> 18
    return value
  }

  private mutating func regenerate() {
    let size = Self.size
    for i in 0..<size {
      let mixed = state[i] & 0x8000_0000 | state[(i + 1) % size] & 0x7FFF_FFFF
      state[i] = state[(i + Self.shift) % size] ^ mixed >> 1 ^ (mixed & 1 == 0 ? 0 : 0x9908_B0DF)
    }
  }
}
