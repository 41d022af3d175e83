extension WinogradConvolution {
  /// Panels as tasks, in whole rounds for all threads; those left over are cut so that no thread is without work: in two halves of
  /// one vector each, where that may be, and into pieces of the tiles, which transform their weights again. Tasks are numbered so
  /// that every thread's share (`ThreadPool.run`) has as many whole panels.
  struct Division {
    private let slots: Int
    private let wholePerSlot: Int
    /// Of a panel that is cut: 1 or 2.
    private let halves: Int
    private let pieces: Int
    private let pieceTiles: Int
    private let tiles: Int
    let count: Int

    /// `step`: tiles that a matrix product computes at least.
    init(panels: Int, tiles: Int, slots: Int, step: Int, mayHalve: Bool) {
      let rest = panels % slots
      self.slots = slots
      wholePerSlot = panels / slots
      self.tiles = tiles
      let wanted = rest == 0 ? 1 : (slots + rest - 1) / rest
      halves = mayHalve && wanted > 1 ? 2 : 1
      let cuts = (wanted + halves - 1) / halves
      pieceTiles = max(step, ((tiles + cuts - 1) / cuts + step - 1) / step * step)
      pieces = (tiles + pieceTiles - 1) / pieceTiles
      count = wholePerSlot * slots + rest * halves * pieces
    }

    /// What a task computes.
    struct Place: Equatable {
      var panel: Int
      /// Of the panel's two.
      var vectors = 0..<2
      var firstTile = 0
      var tiles: Int
    }

    func place(_ task: Int) -> Place {
      // The share of the first `longer` slots has a task more than that of the others.
      let (share, longer) = count.quotientAndRemainder(dividingBy: slots)
      let inLonger = task < longer * (share + 1)
      let slot = inLonger ? task / (share + 1) : longer + (task - longer * (share + 1)) / max(1, share)
      let within = inLonger ? task % (share + 1) : (task - longer * (share + 1)) % max(1, share)
      guard within >= wholePerSlot else { return Place(panel: slot * wholePerSlot + within, tiles: tiles) }
      let number = task - (slot + 1) * wholePerSlot
      let (part, piece) = number.quotientAndRemainder(dividingBy: pieces)
      let (panel, half) = part.quotientAndRemainder(dividingBy: halves)
      return Place(
        panel: slots * wholePerSlot + panel, vectors: halves == 1 ? 0..<2 : half..<half + 1,
        firstTile: piece * pieceTiles, tiles: min(pieceTiles, tiles - piece * pieceTiles))
    }
  }
}
