internal import CSIMD

// The kernels of `StrassenTileKernels`.

// MARK: Products

extension RegisterTile {
  /// c = or += this tile.
  @inline(__always)
  fileprivate func put(_ c: Out, _ stride: Int, _ accumulate: Bool) {
    store(c, stride) { accumulate ? $0 + csimd_load(c + ($1 &* stride &+ $2)) : $0 }
  }
}

/// The order of the seven products is one in which sums of products are a tile that goes on: few are ever stored, two at a
/// time.
@inline(__always)
private func strassenTiles(
  _ depth: Int, _ a: In, _ b: In, _ c: Out, _ cStride: Int, _ accumulate: Bool, _ scratch: Out, _ next: In
) {
  let width = strassenWidth(depth)
  let lower = a + tileRows &* rowStride
  let factor = depth &* tileColumns
  let (t4, t1, t2, t3) = (b + 3 &* factor, b + 4 &* factor, b + 5 &* factor, b + 6 &* factor)
  let (c12, c21) = (c + tileColumns, c + tileRows &* cStride)
  let c22 = c21 + tileColumns
  let (first, second) = (scratch, scratch + tileRows &* tileColumns)
  var tile = RegisterTile()
  // P1, and P1 + P2.
  tile.multiply(depth, a, b, ahead: b + factor)
  tile.store(first, tileColumns)
  tile.multiply(depth, a + width, b + factor, ahead: t2)
  tile.put(c, cStride, accumulate)
  // P1 + P6, that + P7, and that − P4.
  tile.load(first, tileColumns)
  tile.multiply(depth, a + 2 &* width, t2, ahead: t3)
  tile.store(first, tileColumns)
  tile.multiply(depth, a + 3 &* width, t3, ahead: t4)
  tile.store(second, tileColumns)
  tile.multiply(depth, lower + width, t4, ahead: t1)
  tile.put(c21, cStride, accumulate)
  // P5, that + P1 + P6 + P7, and P5 + P1 + P6 + P3.
  tile = RegisterTile()
  tile.multiply(depth, lower, t1, ahead: b + 2 &* factor)
  tile.store(c22, cStride) { p5, row, column in
    let sum = p5 + csimd_load(second + (row &* tileColumns &+ column))
    return accumulate ? sum + csimd_load(c22 + (row &* cStride &+ column)) : sum
  }
  tile.add(first, tileColumns)
  tile.multiply(depth, lower + 2 &* width, b + 2 &* factor, ahead: next)
  tile.put(c12, cStride, accumulate)
}

func strassenMultiply(
  _ depth: Int, _ a: In, _ b: In, _ c: Out, _ cStride: Int, _ scratch: Out, _ next: In
) { strassenTiles(depth, a, b, c, cStride, false, scratch, next) }

func strassenAccumulate(
  _ depth: Int, _ a: In, _ b: In, _ c: Out, _ cStride: Int, _ scratch: Out, _ next: In
) { strassenTiles(depth, a, b, c, cStride, true, scratch, next) }

// MARK: Left factors

/// Floats from piece to piece of a row of left factors.
@inline(__always)
private func strassenWidth(_ depth: Int) -> Int { (depth &+ lanes &- 1) / lanes &* lanes }

/// Stores one vector of each left factor of an upper and a lower row. Returns S1.
@inline(__always)
@discardableResult
private func storeFactors(_ upper: Out, _ lower: Out, _ width: Int, _ x11: V, _ x12: V, _ x21: V, _ x22: V) -> V {
  let s1 = x21 + x22
  let s2 = s1 - x11
  csimd_store(upper, x11)
  csimd_store(upper + width, x12)
  csimd_store(upper + 2 &* width, s2)
  csimd_store(upper + 3 &* width, x11 - x21)
  csimd_store(lower, s1)
  csimd_store(lower + width, csimd_splat(0) - x22)
  csimd_store(lower + 2 &* width, x12 - s2)
  return s1
}

func strassenTileLeft(_ rows: Int, _ depth: Int, _ x: In, _ stride: Int, _ scale: Float, _ factors: Out) {
  let width = strassenWidth(depth)
  let factor = csimd_splat(scale)
  for row in 0..<tileRows {
    let upper = x + row &* stride
    let lower = x + (tileRows &+ row) &* stride
    let to = factors + row &* rowStride
    let upperIsThere = row < rows
    let lowerIsThere = tileRows &+ row < rows
    var i = 0
    while i < depth {
      let count = min(lanes, depth &- i)
      @inline(__always)
      func load(_ p: In, _ isThere: Bool) -> V {
        guard isThere else { return csimd_splat(0) }
        return factor * (count == lanes ? csimd_load(p + i) : csimd_load_first(p + i, count))
      }
      storeFactors(
        to + i, to + (tileRows &* rowStride &+ i), width, load(upper, upperIsThere), load(upper + depth, upperIsThere),
        load(lower, lowerIsThere), load(lower + depth, lowerIsThere))
      i &+= lanes
    }
  }
}

// MARK: Softmax

func strassenSoftmax(_ keys: Int, _ scores: Out, _ states: Out, _ results: Out, _ valueSize: Int) {
  let width = blockDepth / 4
  for row in 0..<tileRows {
    let upper = scores + row &* rowStride
    let lower = upper + tileRows &* rowStride
    let upperState = states + row &* tileColumns
    let lowerState = upperState + tileRows &* tileColumns
    let upperShift = softmaxShift(upperState)
    let lowerShift = softmaxShift(lowerState)
    var upperSum = csimd_splat(0)
    var lowerSum = csimd_splat(0)
    var i = 0
    while i < width {
      @inline(__always)
      func put(_ load: (In) -> V, _ loadRight: (In) -> V) {
        let x11 = vexp2(load(upper + i) - upperShift)
        let x12 = vexp2(loadRight(upper + i + width) - upperShift)
        let x21 = vexp2(load(lower + i) - lowerShift)
        let x22 = vexp2(loadRight(lower + i + width) - lowerShift)
        upperSum = upperSum + (x11 + x12)
        lowerSum = lowerSum + storeFactors(upper + i, lower + i, width, x11, x12, x21, x22)
      }
      if width &+ i &+ lanes <= keys {
        put({ csimd_load($0) }, { csimd_load($0) })
      } else {
        let left = min(lanes, max(0, keys &- i))
        let right = min(lanes, max(0, keys &- width &- i))
        put({ csimd_load_first_or($0, left, -.infinity) }, { csimd_load_first_or($0, right, -.infinity) })
      }
      i &+= lanes
    }
    let result = results + row &* valueSize
    updateState(upperState, upperSum, upperShift, result, valueSize)
    updateState(lowerState, lowerSum, lowerShift, result + tileRows &* valueSize, valueSize)
  }
}
