import KernelTable
import Kernels
import Support

/// One level of Strassen's algorithm (`StrassenTileKernels`) in both products of an attention: the right factors that
/// `AttentionCore` packs instead of matrices.
///
/// Queries are summed with those tileRows below, keys and columns of values with those of the panel beside them. So a
/// query's rounding error grows with the scores of both queries, and where one query looks at few keys and the other at
/// all, with the sum of all values: 1e-6 of the row's own values became 1e-5 to 5e-5, on random data 1e-6 to 2e-6. What is
/// not finite in a query or a value reaches the row or column summed with it. In a key it would reach scores of other
/// keys, even where a mask excludes it: masked attention takes the plain products.
struct StrassenAttention {
  let keys: Int
  let size: Int
  let valueSize: Int
  let kernels: KernelTable

  // MARK: Right factors

  /// Half of a block of keys: a row of scores has room for four left factors of probabilities.
  private var valueDepth: Int { kernels.gemm.blockDepth / 4 }
  /// Keys that a step takes at a time.
  var blockKeys: Int { 2 * valueDepth }
  var blocks: Int { (keys + blockKeys - 1) / blockKeys }
  /// Columns of two panels.
  var pairColumns: Int { 2 * kernels.gemm.tileColumns }
  var keyPairs: Int { (keys + pairColumns - 1) / pairColumns }
  var valuePairs: Int { valueSize / pairColumns }

  /// Floats of one right factor of keys and values.
  private var keyFactor: Int { size / 2 * kernels.gemm.tileColumns }
  private var valueFactor: Int { valueDepth * kernels.gemm.tileColumns }
  /// Floats of the right factors of a head: those of keys, pair after pair, then those of values, block after block.
  var factorFloatCount: Int { StrassenKernels.products * (keyPairs * keyFactor + blocks * valuePairs * valueFactor) }

  func keyFactors(_ factors: UnsafeMutablePointer<Float>, pair: Int) -> UnsafeMutablePointer<Float> {
    factors + StrassenKernels.products * pair * keyFactor
  }

  func valueFactors(_ factors: UnsafeMutablePointer<Float>, block: Int, pair: Int) -> UnsafeMutablePointer<Float> {
    factors + StrassenKernels.products * (keyPairs * keyFactor + (block * valuePairs + pair) * valueFactor)
  }

  /// Makes the right factors of one head of keys and values, rows at these distances.
  func pack(
    keys source: UnsafePointer<Float>, _ keyStride: Int, values: UnsafePointer<Float>, _ valueStride: Int,
    to factors: UnsafeMutablePointer<Float>
  ) {
    let tile = kernels.gemm.tileColumns
    for pair in 0..<keyPairs {
      pack(keyFactors(factors, pair: pair), keyFactor) { lower, right, target in
        let first = pair * pairColumns + right * tile
        kernels.packPanelTransposed(
          source + first * keyStride + lower * (size / 2), keyStride, size / 2, min(tile, max(0, keys - first)), target)
      }
    }
    for block in 0..<blocks {
      for pair in 0..<valuePairs {
        pack(valueFactors(factors, block: block, pair: pair), valueFactor) { lower, right, target in
          let first = block * blockKeys + lower * valueDepth
          let rows = min(valueDepth, max(0, keys - first))
          kernels.packPanel(
            values + first * valueStride + pair * pairColumns + right * tile, valueStride, rows, tile, target)
          (target + rows * tile).update(repeating: 0, count: (valueDepth - rows) * tile)
        }
      }
    }
  }

  /// Seven factors at `target`, `distance` floats from one to the next; `quarter(lower, right, place)` packs one quarter of B.
  private func pack(
    _ target: UnsafeMutablePointer<Float>, _ distance: Int,
    _ quarter: (_ lower: Int, _ right: Int, _ place: UnsafeMutablePointer<Float>) -> Void
  ) {
    let b21 = target + distance
    let b22 = b21 + distance
    let sums = b22 + distance
    quarter(0, 0, target)
    quarter(1, 0, b21)
    quarter(1, 1, b22)
    // Where the first sum goes.
    quarter(0, 1, sums)
    kernels.strassen.right(distance, target, b21, b22, sums, sums, distance)
  }
}

// In an extension, so that the memberwise initialiser stays.
extension StrassenAttention {
  /// Queries and keys from which the products gain more than their factors cost: 512 of each were 2 to 5 % slower.
  private static let (leastQueries, leastKeys) = (1024, 256)
  /// Least queries or keys per one of zeros that fills up the last step.
  private static let leastPerPadding = 32

  /// nil: these take the plain products. The choice depends on nothing else, so that results never depend on threads.
  init?(
    queries: Int, keys: Int, size: Int, valueSize: Int, isMasked: Bool, _ formats: AttentionFormats,
    _ kernels: KernelTable
  ) {
    self.init(keys: keys, size: size, valueSize: valueSize, kernels: kernels)
    func fills(_ count: Int, _ step: Int) -> Bool {
      ((count + step - 1) / step * step - count) * Self.leastPerPadding <= count
    }
    guard !isMasked, formats == AttentionFormats(), queries >= Self.leastQueries, keys >= Self.leastKeys,
      fills(keys, blockKeys), fills(queries, 2 * kernels.gemm.tileRows), hasRoom
    else { return nil }
  }

  /// Whether the left factors of a query fit a row of scores, and values are pairs of panels.
  private var hasRoom: Bool {
    size > 0 && size.isMultiple(of: 2) && size <= blockKeys && valueSize > 0 && valueSize.isMultiple(of: pairColumns)
  }
}

extension AttentionCore {
  /// nil: plain products.
  var strassen: StrassenAttention? {
    StrassenAttention(
      queries: queries, keys: keys, size: size, valueSize: valueSize, isMasked: !mask.isEmpty, formats, kernels)
  }

  /// One group of queries of a head, whose right factors lie at `factors`. A step's left factors, scores and probabilities
  /// stay in the first-level cache; the block's right factors stream through it from the second.
  func attend(
    _ item: Int, _ head: Int, firstQuery: Int, rows: Int, _ plan: StrassenAttention,
    factors: UnsafeMutablePointer<Float>, _ own: Slot
  ) {
    let g = kernels.gemm
    let step = Self.stepRows(kernels, formats)
    let source = q.position(item, head, firstQuery)
    kernels.attention.prefetchRows(rows, size, source, q.positionStride)
    for first in stride(from: 0, to: rows, by: step) {
      kernels.strassenTiles.left(
        min(step, rows - first), size / 2, source + first * q.positionStride, q.positionStride, scale * Self.base2,
        own.queries + first * g.rowStride)
    }
    kernels.attention.begin((rows + step - 1) / step * step, valueSize, own.states, own.results)
    let target = y.position(item, head, firstQuery)
    for block in 0..<plan.blocks {
      let count = min(plan.blockKeys, keys - block * plan.blockKeys)
      let firstPair = block * plan.blockKeys / plan.pairColumns
      let pairs = firstPair..<firstPair + (count + plan.pairColumns - 1) / plan.pairColumns
      let values = plan.valueFactors(factors, block: block, pair: 0)
      for first in stride(from: 0, to: rows, by: step) {
        for pair in pairs {
          kernels.strassenTiles.multiply(
            size / 2, own.queries + first * g.rowStride, plan.keyFactors(factors, pair: pair),
            own.scores + (pair - firstPair) * plan.pairColumns, g.rowStride, own.tile,
            pair + 1 < pairs.upperBound ? plan.keyFactors(factors, pair: pair + 1) : values)
        }
        let states = own.states + first * g.tileColumns
        let results = own.results + first * valueSize
        kernels.attention.maxima(step, count, own.scores, g.rowStride, states)
        kernels.strassenTiles.softmax(count, own.scores, states, results, valueSize)
        if block == plan.blocks - 1 {
          // Where the results go, so that storing them does not wait.
          kernels.attention.prefetchRows(
            min(step, rows - first), valueSize, target + first * y.positionStride, y.positionStride)
        }
        for pair in 0..<plan.valuePairs {
          // After a block's last values its keys come again, or the next block's.
          let isLast = pair + 1 == plan.valuePairs
          let following = first + step < rows ? firstPair : min(pairs.upperBound, plan.keyPairs - 1)
          kernels.strassenTiles.accumulate(
            plan.blockKeys / 2, own.scores, plan.valueFactors(factors, block: block, pair: pair),
            results + pair * plan.pairColumns, valueSize, own.tile,
            isLast
              ? plan.keyFactors(factors, pair: following)
              : plan.valueFactors(factors, block: block, pair: pair + 1))
        }
      }
    }
    kernels.attention.divide(
      rows, valueSize, own.results, own.states, UnsafeMutablePointer(mutating: target), y.positionStride)
  }
}
