internal import CSIMD

/// Elements that are added in float32 lanes before a total continues in Double: 128 additions per lane.
private var sumBlock: Int { 256 &* lanes }

func rowSum(_ x: In, _ count: Int) -> Double {
  var total = 0.0
  var start = 0
  while start < count {
    let end = min(count, start &+ sumBlock)
    var a = csimd_splat(0)
    var b = csimd_splat(0)
    var i = start
    while i &+ 2 &* lanes <= end {
      a = a + csimd_load(x + i)
      b = b + csimd_load(x + i + lanes)
      i &+= 2 &* lanes
    }
    if i &+ lanes <= end {
      a = a + csimd_load(x + i)
      i &+= lanes
    }
    if i < end { b = b + csimd_load_first(x + i, end &- i) }
    total += Double(csimd_sum(a + b))
    start = end
  }
  return total
}

func squaredDeviations(_ x: In, _ mean: Float, _ count: Int) -> Double {
  var total = 0.0
  var start = 0
  let m = csimd_splat(mean)
  while start < count {
    let end = min(count, start &+ sumBlock)
    var a = csimd_splat(0)
    var b = csimd_splat(0)
    var i = start
    while i &+ 2 &* lanes <= end {
      let d0 = csimd_load(x + i) - m
      let d1 = csimd_load(x + i + lanes) - m
      a = csimd_fma(d0, d0, a)
      b = csimd_fma(d1, d1, b)
      i &+= 2 &* lanes
    }
    var sum = 0.0
    while i < end {
      let d = x[i] - mean
      sum += Double(d * d)
      i &+= 1
    }
    total += Double(csimd_sum(a + b)) + sum
    start = end
  }
  return total
}

func rowMaximum(_ x: In, _ count: Int) -> Float {
  var top = csimd_splat(-Float.infinity)
  var nan = VI(repeating: 0)
  var i = 0
  while i &+ lanes <= count {
    let v = csimd_load(x + i)
    top = csimd_max(v, top)
    nan = nan | csimd_is_nan(v)
    i &+= lanes
  }
  var best = csimd_horizontal_max(top)
  // All-ones lanes are NaN as floats; their conversion to a number is −1.
  var found = csimd_sum(csimd_convert(nan)) != 0
  while i < count {
    if x[i] > best { best = x[i] }
    if x[i] != x[i] { found = true }
    i &+= 1
  }
  return found ? Float.nan : best
}

func expAndSum(_ x: In, _ shift: Float, _ out: Out, _ count: Int) -> Float {
  var sum = csimd_splat(0)
  let s = csimd_splat(shift)
  var i = 0
  while i &+ lanes <= count {
    let e = vexp(csimd_load(x + i) - s)
    csimd_store(out + i, e)
    sum = sum + e
    i &+= lanes
  }
  var total = csimd_sum(sum)
  if i < count {
    let rest = count &- i
    csimd_store_first(out + i, vexp(csimd_load_first(x + i, rest) - s), rest)
    while i < count {
      total += out[i]
      i &+= 1
    }
  }
  return total
}

func softmaxRow(_ x: In, _ out: Out, _ count: Int) {
  let top = rowMaximum(x, count)
  let sum = expAndSum(x, top, out, count)
  let scale = csimd_splat(1 / sum)
  map(UnsafePointer(out), out, count) { $0 * scale }
}

func normalizeRow(
  _ x: In, _ mean: Float, _ inverseDeviation: Float, _ scale: In?, _ bias: In?, _ out: Out, _ count: Int
) {
  let m = csimd_splat(mean)
  let r = csimd_splat(inverseDeviation)
  if let scale, let bias {
    var i = 0
    while i &+ lanes <= count {
      csimd_store(out + i, csimd_fma((csimd_load(x + i) - m) * r, csimd_load(scale + i), csimd_load(bias + i)))
      i &+= lanes
    }
    if i < count {
      let rest = count &- i
      let y = csimd_fma(
        (csimd_load_first(x + i, rest) - m) * r, csimd_load_first(scale + i, rest), csimd_load_first(bias + i, rest))
      csimd_store_first(out + i, y, rest)
    }
  } else if let scale {
    map(x, scale, out, count) { ($0 - m) * r * $1 }
  } else if let bias {
    map(x, bias, out, count) { csimd_fma($0 - m, r, $1) }
  } else {
    map(x, out, count) { ($0 - m) * r }
  }
}

/// The loop `body` with the activation chosen outside of it.
@inline(__always)
func withActivation(_ activation: Int32, _ body: ((V) -> V) -> Void) {
  switch activation {
  case 1: body { vsilu($0) }
  case 2: body { vrelu($0) }
  case 3: body { vgelu($0) }
  case 4: body { vquickGelu($0) }
  case 5: body { vgeluTanh($0) }
  default: body { $0 }
  }
}

func scaleShift(
  _ x: In, _ mean: Float, _ scale: Float, _ bias: Float, _ out: Out, _ count: Int, _ activation: Int32
) {
  let m = csimd_splat(mean)
  let s = csimd_splat(scale)
  let b = csimd_splat(bias)
  withActivation(activation) { f in map(x, out, count) { f(csimd_fma($0 - m, s, b)) } }
}

func channelMoments(_ x: In, _ rows: Int, _ channels: Int, _ stride: Int, _ sums: Out, _ squares: Out) {
  let scale = csimd_splat(1 / Float(rows))
  var c = 0
  // Four vectors of a row at a time: lines that follow each other in memory come without being asked for one by one.
  while c &+ 4 &* lanes <= channels {
    var (sum0, sum1, sum2, sum3) = (csimd_splat(0), csimd_splat(0), csimd_splat(0), csimd_splat(0))
    var (square0, square1, square2, square3) = (sum0, sum0, sum0, sum0)
    var p = x + c
    for _ in 0..<rows {
      sum0 = sum0 + csimd_load(p)
      sum1 = sum1 + csimd_load(p + lanes)
      sum2 = sum2 + csimd_load(p + 2 &* lanes)
      sum3 = sum3 + csimd_load(p + 3 &* lanes)
      p += stride
    }
    let (mean0, mean1, mean2, mean3) = (sum0 * scale, sum1 * scale, sum2 * scale, sum3 * scale)
    p = x + c
    for _ in 0..<rows {
      let d0 = csimd_load(p) - mean0
      let d1 = csimd_load(p + lanes) - mean1
      let d2 = csimd_load(p + 2 &* lanes) - mean2
      let d3 = csimd_load(p + 3 &* lanes) - mean3
      square0 = csimd_fma(d0, d0, square0)
      square1 = csimd_fma(d1, d1, square1)
      square2 = csimd_fma(d2, d2, square2)
      square3 = csimd_fma(d3, d3, square3)
      p += stride
    }
    csimd_store(sums + c, sum0)
    csimd_store(sums + c + lanes, sum1)
    csimd_store(sums + c + 2 &* lanes, sum2)
    csimd_store(sums + c + 3 &* lanes, sum3)
    csimd_store(squares + c, square0)
    csimd_store(squares + c + lanes, square1)
    csimd_store(squares + c + 2 &* lanes, square2)
    csimd_store(squares + c + 3 &* lanes, square3)
    c &+= 4 &* lanes
  }
  while c < channels {
    let width = min(lanes, channels &- c)
    var sum = csimd_splat(0)
    var square = csimd_splat(0)
    var p = x + c
    if width == lanes {
      for _ in 0..<rows {
        sum = sum + csimd_load(p)
        p += stride
      }
      let mean = sum * scale
      p = x + c
      for _ in 0..<rows {
        let d = csimd_load(p) - mean
        square = csimd_fma(d, d, square)
        p += stride
      }
      csimd_store(sums + c, sum)
      csimd_store(squares + c, square)
    } else {
      for _ in 0..<rows {
        sum = sum + csimd_load_first(p, width)
        p += stride
      }
      let mean = sum * scale
      p = x + c
      for _ in 0..<rows {
        let d = csimd_load_first(p, width) - mean
        square = csimd_fma(d, d, square)
        p += stride
      }
      csimd_store_first(sums + c, sum, width)
      csimd_store_first(squares + c, square, width)
    }
    c &+= width
  }
}

func scaleShiftChannels(
  _ x: In, _ rows: Int, _ channels: Int, _ stride: Int, _ mean: In, _ scale: In, _ bias: In, _ out: Out,
  _ activation: Int32
) {
  withActivation(activation) { f in
    for row in 0..<rows {
      let from = x + row &* stride
      let to = out + row &* stride
      var c = 0
      while c &+ lanes <= channels {
        let d = csimd_load(from + c) - csimd_load(mean + c)
        csimd_store(to + c, f(csimd_fma(d, csimd_load(scale + c), csimd_load(bias + c))))
        c &+= lanes
      }
      if c < channels {
        let rest = channels &- c
        let d = csimd_load_first(from + c, rest) - csimd_load_first(mean + c, rest)
        let y = csimd_fma(d, csimd_load_first(scale + c, rest), csimd_load_first(bias + c, rest))
        csimd_store_first(to + c, f(y), rest)
      }
    }
  }
}
