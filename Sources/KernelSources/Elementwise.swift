internal import CSIMD

func add(_ a: In, _ b: In, _ out: Out, _ count: Int) { map(a, b, out, count) { $0 + $1 } }
func subtract(_ a: In, _ b: In, _ out: Out, _ count: Int) { map(a, b, out, count) { $0 - $1 } }
func multiply(_ a: In, _ b: In, _ out: Out, _ count: Int) { map(a, b, out, count) { $0 * $1 } }
func divide(_ a: In, _ b: In, _ out: Out, _ count: Int) { map(a, b, out, count) { $0 / $1 } }

/// NaN in either operand gives NaN.
func minimum(_ a: In, _ b: In, _ out: Out, _ count: Int) {
  map(a, b, out, count) { csimd_select(csimd_is_nan($0), $0, csimd_select(csimd_less($0, $1), $0, $1)) }
}
func maximum(_ a: In, _ b: In, _ out: Out, _ count: Int) {
  map(a, b, out, count) { csimd_select(csimd_is_nan($0), $0, csimd_select(csimd_less($1, $0), $0, $1)) }
}

func addScalar(_ x: In, _ s: Float, _ out: Out, _ count: Int) { map(x, out, count) { $0 + csimd_splat(s) } }
func subtractScalar(_ x: In, _ s: Float, _ out: Out, _ count: Int) { map(x, out, count) { $0 - csimd_splat(s) } }
func scalarSubtract(_ x: In, _ s: Float, _ out: Out, _ count: Int) { map(x, out, count) { csimd_splat(s) - $0 } }
func multiplyScalar(_ x: In, _ s: Float, _ out: Out, _ count: Int) { map(x, out, count) { $0 * csimd_splat(s) } }
func divideScalar(_ x: In, _ s: Float, _ out: Out, _ count: Int) { map(x, out, count) { $0 / csimd_splat(s) } }
func scalarDivide(_ x: In, _ s: Float, _ out: Out, _ count: Int) { map(x, out, count) { csimd_splat(s) / $0 } }

func negate(_ x: In, _ out: Out, _ count: Int) {
  map(x, out, count) { csimd_from_bits(csimd_bits($0) ^ VI(repeating: Int32.min)) }
}
func absolute(_ x: In, _ out: Out, _ count: Int) { map(x, out, count) { csimd_abs($0) } }
func squareRoot(_ x: In, _ out: Out, _ count: Int) { map(x, out, count) { csimd_sqrt($0) } }
func reciprocal(_ x: In, _ out: Out, _ count: Int) { map(x, out, count) { csimd_splat(1) / $0 } }
func relu(_ x: In, _ out: Out, _ count: Int) { map(x, out, count) { vrelu($0) } }
func exponential(_ x: In, _ out: Out, _ count: Int) { map(x, out, count) { vexp($0) } }
func sigmoid(_ x: In, _ out: Out, _ count: Int) { map(x, out, count) { vsigmoid($0) } }
func hyperbolicTangent(_ x: In, _ out: Out, _ count: Int) { map(x, out, count) { vtanh($0) } }
func errorFunction(_ x: In, _ out: Out, _ count: Int) { map(x, out, count) { verf($0) } }
func silu(_ x: In, _ out: Out, _ count: Int) { map(x, out, count) { vsilu($0) } }
func gelu(_ x: In, _ out: Out, _ count: Int) { map(x, out, count) { vgelu($0) } }
func geluTanh(_ x: In, _ out: Out, _ count: Int) { map(x, out, count) { vgeluTanh($0) } }
func quickGelu(_ x: In, _ out: Out, _ count: Int) { map(x, out, count) { vquickGelu($0) } }
func geglu(_ x: In, _ gate: In, _ out: Out, _ count: Int) { map(x, gate, out, count) { $0 * vgelu($1) } }

func accumulate(_ x: In, _ scale: Float, _ y: Out, _ count: Int) {
  map(x, y, y, count) { csimd_fma($0, csimd_splat(scale), $1) }
}

func multiplyAdd(_ a: In, _ b: In, _ out: Out, _ count: Int) {
  var i = 0
  while i &+ lanes <= count {
    csimd_store(out + i, csimd_fma(csimd_load(a + i), csimd_load(b + i), csimd_load(out + i)))
    i &+= lanes
  }
  if i < count {
    let rest = count &- i
    let sum = csimd_fma(
      csimd_load_first(a + i, rest), csimd_load_first(b + i, rest), csimd_load_first(out + i, rest))
    csimd_store_first(out + i, sum, rest)
  }
}
