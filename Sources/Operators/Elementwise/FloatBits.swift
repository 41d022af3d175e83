/// Conversions between number formats as x86 hardware defines them, total: nothing traps for NaN or out-of-range values.

/// float16 bits to Float, exact.
@inline(__always)
func float(fromHalf half: UInt16) -> Float {
  let magnitude = UInt32(half & 0x7FFF) << 13
  let sign = UInt32(half & 0x8000) << 16
  // Multiplying by 2^112 moves the exponent from bias 15 to bias 127 and normalises subnormals.
  let scaled = (Float(bitPattern: magnitude) * 0x1p112).bitPattern
  let bits = magnitude >= 0x0F80_0000 ? magnitude | 0x7F80_0000 : scaled
  return Float(bitPattern: bits | sign)
}

/// The nearest whole number, ties to even, without a branch or a call. Keeps the sign of zero.
@inline(__always)
func roundHalfEven(_ x: Float) -> Float {
  let magnitude = x.magnitude
  // From 2^23 on every float is whole; below, adding 2^23 leaves no bits for a fraction.
  let rounded = (magnitude + 0x1p23) - 0x1p23
  let sign = x.bitPattern & 0x8000_0000
  return magnitude < 0x1p23 ? Float(bitPattern: rounded.bitPattern | sign) : x
}

/// Toward zero; out of range and NaN give Int32.min, as `cvttsd2si` does.
@inline(__always)
func int32Bits(_ value: Double) -> Int32 {
  value > -2_147_483_649 && value < 2_147_483_648 ? Int32(value) : .min
}

/// Toward zero; out of range and NaN give Int64.min.
@inline(__always)
func int64Bits(_ value: Double) -> Int64 {
  value >= -0x1p63 && value < 0x1p63 ? Int64(value) : .min
}

/// Toward zero; negative values wrap, out of range and NaN give 2^63.
@inline(__always)
func uint64Bits(_ value: Double) -> UInt64 {
  value >= 0x1p63 && value < 0x1p64 ? UInt64(value) : UInt64(bitPattern: int64Bits(value))
}
