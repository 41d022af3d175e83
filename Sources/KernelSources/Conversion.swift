internal import CSIMD

// float16 and bfloat16 against float32. The portable set and the ends of arrays convert one element at a time.

func fromFloat16(_ x: UnsafePointer<UInt16>, _ out: Out, _ count: Int) {
  var i = 0
  #if !KERNELS_PORTABLE
    while i &+ lanes <= count {
      csimd_store(out + i, csimd_from_half(x + i))
      i &+= lanes
    }
  #endif
  while i < count {
    out[i] = floatFromHalf(x[i])
    i &+= 1
  }
}

func toFloat16(_ x: In, _ out: UnsafeMutablePointer<UInt16>, _ count: Int) {
  var i = 0
  #if !KERNELS_PORTABLE
    while i &+ lanes <= count {
      csimd_to_half(out + i, csimd_load(x + i))
      i &+= lanes
    }
  #endif
  while i < count {
    out[i] = halfFromFloat(x[i])
    i &+= 1
  }
}

func fromBFloat16(_ x: UnsafePointer<UInt16>, _ out: Out, _ count: Int) {
  var i = 0
  while i &+ lanes <= count {
    csimd_store(out + i, csimd_from_bfloat16(x + i))
    i &+= lanes
  }
  while i < count {
    out[i] = Float(bitPattern: UInt32(truncatingIfNeeded: x[i]) &<< 16)
    i &+= 1
  }
}

func toBFloat16(_ x: In, _ out: UnsafeMutablePointer<UInt16>, _ count: Int) {
  var i = 0
  while i &+ lanes <= count {
    csimd_to_bfloat16(out + i, csimd_load(x + i))
    i &+= lanes
  }
  while i < count {
    let bits = x[i].bitPattern
    let nan = (bits & 0x7FFF_FFFF) > 0x7F80_0000
    let rounded = (bits &+ 0x7FFF &+ ((bits &>> 16) & 1)) &>> 16
    out[i] = UInt16(truncatingIfNeeded: nan ? (bits &>> 16) | 0x40 : rounded)
    i &+= 1
  }
}

@inline(__always)
func floatFromHalf(_ half: UInt16) -> Float {
  let bits = UInt32(truncatingIfNeeded: half)
  let sign = (bits & 0x8000) &<< 16
  let magnitude = bits & 0x7FFF
  if magnitude >= 0x7C00 {
    // Infinity, or NaN made quiet as the hardware does.
    let payload = (magnitude & 0x3FF) &<< 13
    return Float(bitPattern: sign | 0x7F80_0000 | payload | (payload == 0 ? 0 : 0x40_0000))
  }
  if magnitude < 0x400 {
    // Subnormal: magnitude · 2^−24 is exact.
    let value = Float(Int32(truncatingIfNeeded: magnitude)) * 0x1p-24
    return Float(bitPattern: value.bitPattern | sign)
  }
  return Float(bitPattern: sign | ((magnitude &<< 13) &+ (112 &<< 23)))
}

@inline(__always)
func halfFromFloat(_ value: Float) -> UInt16 {
  let bits = value.bitPattern
  let sign = (bits &>> 16) & 0x8000
  let magnitude = bits & 0x7FFF_FFFF
  let half: UInt32
  if magnitude > 0x7F80_0000 {
    half = 0x7E00 | ((magnitude &>> 13) & 0x3FF)
  } else if magnitude >= 0x4780_0000 {
    half = 0x7C00  // ≥ 65536
  } else if magnitude < 0x3880_0000 {
    // Below 2^−14: adding 2^−1 · 2^0 aligns the last bit at 2^−24 and rounds to nearest even.
    let aligned = Float(bitPattern: magnitude) + 0.5
    half = aligned.bitPattern &- 0x3F00_0000
  } else {
    // Rounding may carry into the exponent, also up to infinity.
    half = (magnitude &- (112 &<< 23) &+ 0xFFF &+ ((magnitude &>> 13) & 1)) &>> 13
  }
  return UInt16(truncatingIfNeeded: sign | half)
}
