import Glibc

/// The discrete Fourier transform of one length, in double precision.
///
/// Powers of two: iterative radix 2 (Cooley and Tukey, 1965). Other lengths: Bluestein's chirp (1970) on top of it.
struct FourierTransform {
  struct Complex {
    var real: Double
    var imaginary: Double

    static func + (a: Complex, b: Complex) -> Complex {
      Complex(real: a.real + b.real, imaginary: a.imaginary + b.imaginary)
    }
    static func - (a: Complex, b: Complex) -> Complex {
      Complex(real: a.real - b.real, imaginary: a.imaginary - b.imaginary)
    }
    static func * (a: Complex, b: Complex) -> Complex {
      Complex(
        real: a.real * b.real - a.imaginary * b.imaginary, imaginary: a.real * b.imaginary + a.imaginary * b.real)
    }
    /// e^(i·angle)
    static func unit(_ angle: Double) -> Complex { Complex(real: cos(angle), imaginary: sin(angle)) }
    static let zero = Complex(real: 0, imaginary: 0)
  }

  let length: Int
  /// -1 forward, +1 inverse. The inverse is not divided by the length.
  let sign: Double
  private let chirp: [Complex]
  private let chirpSpectrum: [Complex]

  init(length: Int, inverse: Bool) {
    self.length = length
    sign = inverse ? 1 : -1
    guard length > 0, length & (length - 1) != 0 else {
      chirp = []
      chirpSpectrum = []
      return
    }
    var chirp: [Complex] = []
    for index in 0..<length {
      // index² modulo 2·length keeps the angle small and exact.
      let square = (index &* index) % (2 * length)
      chirp.append(.unit(sign * .pi * Double(square) / Double(length)))
    }
    var size = 1
    while size < 2 * length - 1 { size *= 2 }
    var filter = [Complex](repeating: .zero, count: size)
    for (index, value) in chirp.enumerated() {
      let conjugate = Complex(real: value.real, imaginary: -value.imaginary)
      filter[index] = conjugate
      filter[(size - index) % size] = conjugate
    }
    Self.radixTwo(&filter, sign: -1)
    self.chirp = chirp
    chirpSpectrum = filter
  }

  /// Transforms `length` numbers in place.
  func run(_ values: inout [Complex]) {
    guard !chirp.isEmpty else { return Self.radixTwo(&values, sign: sign) }
    let size = chirpSpectrum.count
    var padded = [Complex](repeating: .zero, count: size)
    for index in 0..<length { padded[index] = values[index] * chirp[index] }
    Self.radixTwo(&padded, sign: -1)
    for index in 0..<size { padded[index] = padded[index] * chirpSpectrum[index] }
    Self.radixTwo(&padded, sign: 1)
    let scale = 1 / Double(size)
    for index in 0..<length {
      let value = padded[index] * chirp[index]
      values[index] = Complex(real: value.real * scale, imaginary: value.imaginary * scale)
    }
  }

  private static func radixTwo(_ values: inout [Complex], sign: Double) {
    let count = values.count
    var reversed = 0
    for index in 1..<max(1, count) {
      var bit = count >> 1
      while reversed & bit != 0 {
        reversed ^= bit
        bit >>= 1
      }
      reversed |= bit
      if index < reversed { values.swapAt(index, reversed) }
    }
    var half = 1
    while half < count {
      for offset in 0..<half {
        let twiddle = Complex.unit(sign * .pi * Double(offset) / Double(half))
        for start in stride(from: offset, to: count, by: 2 * half) {
          let odd = values[start + half] * twiddle
          let even = values[start]
          values[start] = even + odd
          values[start + half] = even - odd
        }
      }
      half *= 2
    }
  }
}
