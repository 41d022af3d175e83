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

/// Float to float16 bits, half to even; beyond 65504 infinity; NaN stays NaN.
@inline(__always)
func half(from value: Float) -> UInt16 {
  let bits = value.bitPattern
  let magnitude = bits & 0x7FFF_FFFF
  let sign = UInt16(truncatingIfNeeded: (bits >> 16) & 0x8000)
  // Adding 0.5 aligns the last float16 subnormal bit (2^-24) with the last bit of a Float in [0.5, 1).
  let subnormal = (Float(bitPattern: magnitude) + 0.5).bitPattern &- 0x3F00_0000
  let normal = (magnitude &+ 0xFFF &+ ((magnitude >> 13) & 1) &- 0x3800_0000) >> 13
  var result = magnitude < 0x3880_0000 ? subnormal : normal
  if magnitude >= 0x4780_0000 { result = magnitude > 0x7F80_0000 ? 0x7E00 : 0x7C00 }
  return UInt16(truncatingIfNeeded: result) | sign
}

/// Float to bfloat16 bits, half to even; NaN stays NaN.
@inline(__always)
func brainFloat(from value: Float) -> UInt16 {
  let bits = value.bitPattern
  let rounded = (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16
  let isNaN = bits & 0x7FFF_FFFF > 0x7F80_0000
  return UInt16(truncatingIfNeeded: isNaN ? (bits >> 16) | 0x40 : rounded)
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
