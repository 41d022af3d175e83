internal import CSIMD

func attentionRows(
  _ rows: Int, _ keys: Int, _ scores: Out, _ stride: Int, _ maxima: Out, _ sums: Out, _ results: Out, _ valueSize: Int
) {
  for row in 0..<rows {
    let line = scores + row &* stride
    let old = maxima[row]
    // A comparison with NaN is false, so NaN never becomes the maximum; its exponential carries it on.
    var top0 = csimd_splat(old)
    var top1 = top0
    var i = 0
    while i &+ 2 &* lanes <= keys {
      top0 = csimd_max(csimd_load(line + i), top0)
      top1 = csimd_max(csimd_load(line + i + lanes), top1)
      i &+= 2 &* lanes
    }
    if i &+ lanes <= keys {
      top0 = csimd_max(csimd_load(line + i), top0)
      i &+= lanes
    }
    var top = csimd_horizontal_max(csimd_max(top0, top1))
    while i < keys {
      if line[i] > top { top = line[i] }
      i &+= 1
    }
    // Nothing visible yet: every exponential is zero whatever the shift.
    let shift = csimd_splat(top == -Float.infinity ? 0 : top)
    var sum0 = csimd_splat(0)
    var sum1 = csimd_splat(0)
    i = 0
    while i &+ 2 &* lanes <= keys {
      let e0 = vexp(csimd_load(line + i) - shift)
      let e1 = vexp(csimd_load(line + i + lanes) - shift)
      csimd_store(line + i, e0)
      csimd_store(line + i + lanes, e1)
      sum0 = sum0 + e0
      sum1 = sum1 + e1
      i &+= 2 &* lanes
    }
    if i &+ lanes <= keys {
      let e = vexp(csimd_load(line + i) - shift)
      csimd_store(line + i, e)
      sum0 = sum0 + e
      i &+= lanes
    }
    if i < keys {
      let rest = keys &- i
      csimd_store_first(line + i, vexp(csimd_load_first(line + i, rest) - shift), rest)
      sum1 = sum1 + csimd_load_first(line + i, rest)
    }
    var total = sums[row]
    if top != old {
      let factor = old == -Float.infinity ? 0 : csimd_first(vexp(csimd_splat(old) - shift))
      total *= factor
      let scale = csimd_splat(factor)
      let result = results + row &* valueSize
      map(In(result), result, valueSize) { $0 * scale }
      maxima[row] = top
    }
    sums[row] = total + csimd_sum(sum0 + sum1)
  }
}

func gegluTile(
  _ rows: Int, _ columns: Int, _ x: In, _ gate: In, _ stride: Int, _ xBias: In?, _ gateBias: In?, _ out: Out,
  _ outStride: Int
) {
  var c = 0
  while c < columns {
    let rest = columns &- c
    let partial = rest < lanes
    let shift = xBias.map { partial ? csimd_load_first($0 + c, rest) : csimd_load($0 + c) } ?? csimd_splat(0)
    let gateShift = gateBias.map { partial ? csimd_load_first($0 + c, rest) : csimd_load($0 + c) } ?? csimd_splat(0)
    for row in 0..<rows {
      let from = row &* stride &+ c
      let to = out + (row &* outStride &+ c)
      if partial {
        let y = (csimd_load_first(x + from, rest) + shift) * vgelu(csimd_load_first(gate + from, rest) + gateShift)
        csimd_store_first(to, y, rest)
      } else {
        csimd_store(to, (csimd_load(x + from) + shift) * vgelu(csimd_load(gate + from) + gateShift))
      }
    }
    c &+= lanes
  }
}
