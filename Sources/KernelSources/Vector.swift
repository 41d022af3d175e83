internal import CSIMD

// One source for every instruction set: `V` has 16, 8 or 4 lanes, chosen by the flags this module is compiled with.
// Only pointer code lives here: no Array, no generic library calls (their weak symbols would leak into other modules).

typealias V = csimd_float
typealias VI = csimd_int
typealias In = UnsafePointer<Float>
typealias Out = UnsafeMutablePointer<Float>

@inline(__always) var lanes: Int { Int(CSIMD_WIDTH) }

/// out[i] = f(x[i]) for whole vectors and one partial vector at the end.
@inline(__always)
func map(_ x: In, _ out: Out, _ count: Int, _ f: (V) -> V) {
  var i = 0
  while i &+ lanes <= count {
    csimd_store(out + i, f(csimd_load(x + i)))
    i &+= lanes
  }
  if i < count { csimd_store_first(out + i, f(csimd_load_first(x + i, count &- i)), count &- i) }
}

/// out[i] = f(a[i], b[i]).
@inline(__always)
func map(_ a: In, _ b: In, _ out: Out, _ count: Int, _ f: (V, V) -> V) {
  var i = 0
  while i &+ lanes <= count {
    csimd_store(out + i, f(csimd_load(a + i), csimd_load(b + i)))
    i &+= lanes
  }
  if i < count {
    let rest = count &- i
    csimd_store_first(out + i, f(csimd_load_first(a + i, rest), csimd_load_first(b + i, rest)), rest)
  }
}

#if !KERNELS_AVX512
  /// v · 2^n for an integer n given as n + 1.5 · 2^23, in two factors so that results reach infinity and the subnormal numbers
  /// correctly.
  @inline(__always)
  func scaled(_ v: V, byPowerIn shifted: V) -> V {
    let exponent = csimd_bits(shifted) &- VI(repeating: 0x4B40_0000)
    let half = exponent &>> VI(repeating: 1)
    let bias = VI(repeating: 127)
    let first = csimd_from_bits((half &+ bias) &<< VI(repeating: 23))
    let second = csimd_from_bits((exponent &- half &+ bias) &<< VI(repeating: 23))
    return v * first * second
  }
#endif

/// Horner's rule from the highest coefficient down.
@inline(__always)
func horner(_ x: V, _ c0: Float, _ c1: Float, _ c2: Float, _ c3: Float, _ c4: Float) -> V {
  var p = csimd_fma(csimd_splat(c4), x, csimd_splat(c3))
  p = csimd_fma(p, x, csimd_splat(c2))
  p = csimd_fma(p, x, csimd_splat(c1))
  return csimd_fma(p, x, csimd_splat(c0))
}

// The standard library's `min` and `max` are generic: where the compiler does not inline them they become weak symbols, which the
// linker may take from a module for another instruction set.

@inline(__always) func lesser(_ a: Int, _ b: Int) -> Int { a < b ? a : b }
@inline(__always) func greater(_ a: Int, _ b: Int) -> Int { a < b ? b : a }
