import KernelTable

/// How the queries of all heads are divided into tasks.
struct AttentionPartition {
  /// Queries of a group, but for a head's last.
  let rows: Int
  /// Groups of a head's queries.
  let groups: Int
  /// Every thread packs the keys and values that it needs, and uses them while they are in its cache. Else all are packed first.
  let packsOwn: Bool

  /// Groups of all heads that share keys and values, up to which a thread packs its own: 3 ms with 4096 keys.
  private static let ownLimit = 8
  /// Pairs of keys and values per thread from which whole ones even out.
  private static let manyPairs = 8

  /// `pairs` of keys and values, each of `sharing` heads of queries; groups have at most `limit` rows, tiles are as `shape` says.
  init(queries: Int, pairs: Int, sharing: Int, threads: Int, limit: Int, _ shape: GemmShape) {
    func divided(_ groups: Int, step: Int) -> (rows: Int, groups: Int) {
      let rows = min(limit, (queries + groups * step - 1) / (groups * step) * step)
      return (rows, (queries + rows - 1) / rows)
    }
    let least = (queries + limit - 1) / limit
    guard sharing * least <= Self.ownLimit, pairs >= threads else {
      (rows, groups, packsOwn) = (limit, least, false)
      return
    }
    // Whole tiles where nothing is to be gained by parts of them.
    var best = divided(least, step: shape.tileRows)
    var evens = pairs * sharing * best.groups % threads == 0 || pairs >= Self.manyPairs * threads
    var groups = least
    while !evens, groups < least * threads {
      groups += 1
      let next = divided(groups, step: shape.smallestTileRows)
      guard sharing * next.groups <= Self.ownLimit, next.rows >= shape.tileRows else { break }
      if pairs * sharing * next.groups % threads == 0 { (best, evens) = (next, true) }
    }
    (rows, self.groups, packsOwn) = evens ? (best.rows, best.groups, true) : (limit, least, false)
  }
}
