internal import CSIMD

/// x · Φ(x) for results that are rounded to bfloat16 or to bytes: Φ as a logistic function of an odd polynomial, our own minimax
/// fit of the product: 3e-5, and 6e-5 relative from the reciprocal.
@inline(__always)
private func vgeluCoarse(_ x: V) -> V {
  let s = csimd_min(csimd_splat(36), x * x)
  let q = csimd_fma(csimd_fma(csimd_splat(1.014_539e-3), s, csimd_splat(-0.106_777_4)), s, csimd_splat(-2.301_119))
  var t = x * q
  #if !KERNELS_AVX512
    // 2^128 is infinite; larger powers are not computed.
    t = csimd_min(csimd_splat(128), t)
  #endif
  // The product with zero at x = −∞ would be NaN; the limit is 0. The order of the operands lets NaN through.
  return csimd_max(csimd_splat(-3e38), x) * csimd_reciprocal_coarse(csimd_splat(1) + vexp2Coarse(t))
}

/// out = (x + xBias) · gate(g + gateBias) for `load(row, column, rest)` = (x, g), of which the first `rest` columns count.
@inline(__always)
private func gatedTile(
  _ rows: Int, _ columns: Int, _ xBias: In?, _ gateBias: In?, _ out: Out, _ outStride: Int, _ gate: (V) -> V,
  _ load: (_ row: Int, _ column: Int, _ rest: Int) -> (V, V)
) {
  var c = 0
  while c < columns {
    let rest = columns &- c
    let partial = rest < lanes
    let shift = xBias.map { partial ? csimd_load_first($0 + c, rest) : csimd_load($0 + c) } ?? csimd_splat(0)
    let gateShift = gateBias.map { partial ? csimd_load_first($0 + c, rest) : csimd_load($0 + c) } ?? csimd_splat(0)
    for row in 0..<rows {
      let to = out + (row &* outStride &+ c)
      let (x, g) = load(row, c, rest)
      let y = (x + shift) * gate(g + gateShift)
      if partial { csimd_store_first(to, y, rest) } else { csimd_store(to, y) }
    }
    c &+= lanes
  }
}

@inline(__always)
private func gatedTile(
  _ rows: Int, _ columns: Int, _ x: In, _ gate: In, _ stride: Int, _ xBias: In?, _ gateBias: In?, _ out: Out,
  _ outStride: Int, _ function: (V) -> V
) {
  gatedTile(rows, columns, xBias, gateBias, out, outStride, function) { row, column, rest in
    let from = row &* stride &+ column
    guard rest < lanes else { return (csimd_load(x + from), csimd_load(gate + from)) }
    return (csimd_load_first(x + from, rest), csimd_load_first(gate + from, rest))
  }
}

func gegluTile(
  _ rows: Int, _ columns: Int, _ x: In, _ gate: In, _ stride: Int, _ xBias: In?, _ gateBias: In?, _ out: Out,
  _ outStride: Int
) {
  gatedTile(rows, columns, x, gate, stride, xBias, gateBias, out, outStride) { vgelu($0) }
}

func gegluTileCoarse(
  _ rows: Int, _ columns: Int, _ x: In, _ gate: In, _ stride: Int, _ xBias: In?, _ gateBias: In?, _ out: Out,
  _ outStride: Int
) {
  gatedTile(rows, columns, x, gate, stride, xBias, gateBias, out, outStride) { vgeluCoarse($0) }
}

func gegluTileIntegers(
  _ rows: Int, _ columns: Int, _ x: In, _ gate: In, _ stride: Int, _ rowScales: In, _ xScales: In,
  _ xOffsets: UnsafePointer<Int32>, _ gateScales: In, _ gateOffsets: UnsafePointer<Int32>, _ xBias: In?,
  _ gateBias: In?, _ out: Out, _ outStride: Int
) {
  gatedTile(rows, columns, xBias, gateBias, out, outStride, { vgeluCoarse($0) }) { row, column, rest in
    let rowScale = csimd_splat(rowScales[row])
    @inline(__always) func scaled(_ products: In, _ scales: In, _ offsets: UnsafePointer<Int32>) -> V {
      let words = UnsafeRawPointer(offsets).assumingMemoryBound(to: Float.self)
      @inline(__always) func load(_ p: In) -> V { rest < lanes ? csimd_load_first(p, rest) : csimd_load(p) }
      let product = csimd_subtract_integers(load(products + (row &* stride &+ column)), load(words + column))
      return csimd_float_of_integers(product) * (load(scales + column) * rowScale)
    }
    return (scaled(x, xScales, xOffsets), scaled(gate, gateScales, gateOffsets))
  }
}
