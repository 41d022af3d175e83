/// Turns small tiles around: element (row, column) goes from `row + column·columnStep` to `row·rowStride + column·columnStride`.
///
/// A tile is gathered in a buffer first, so that each line of the source and of the destination is touched once: with
/// strides of a power of two, all lines of a tile fall into the same few sets of the cache.
enum TransposedTile {
  /// Two tiles of 64-bit elements stay in the first-level cache.
  static let side = 32

  @inline(__always)
  static func copy<Element>(
    rows: Int, columns: Int, from source: UnsafePointer<Element>, columnStep: Int,
    to destination: UnsafeMutablePointer<Element>, rowStride: Int, columnStride: Int
  ) {
    // Strings are reference counted and cannot lie in a bare buffer; spread destinations gain nothing from one.
    guard Element.self != String.self, columnStride == 1, rows > 1, columns >= 8 else {
      for row in 0..<rows {
        for column in 0..<columns {
          destination[row * rowStride + column * columnStride] = source[row + column * columnStep]
        }
      }
      return
    }
    @inline(__always) func withTile(_ body: (UnsafeMutablePointer<Element>) -> Void) {
      guard MemoryLayout<Element>.stride == 4 else {
        return withUnsafeTemporaryAllocation(of: Element.self, capacity: side * side) { buffer in
          if let base = buffer.baseAddress { body(base) }
        }
      }
      withStackBlock(of: UInt32.self, capacity: side * side) {
        body(UnsafeMutableRawPointer($0).assumingMemoryBound(to: Element.self))
      }
    }
    withTile { tile in
      var column = 0
      if Element.self == UInt32.self {
        while column + 4 <= columns && rows == side {
          turnFour(
            UnsafeRawPointer(source + column * columnStep).assumingMemoryBound(to: UInt32.self), columnStep,
            UnsafeMutableRawPointer(tile + column).assumingMemoryBound(to: UInt32.self))
          column += 4
        }
      }
      while column < columns {
        let line = source + column * columnStep
        for row in 0..<rows { tile[row * side + column] = line[row] }
        column += 1
      }
      for row in 0..<rows { (destination + row * rowStride).update(from: tile + row * side, count: columns) }
    }
  }

  /// Four columns of `side` elements, as rows of the tile.
  @inline(__always)
  private static func turnFour(_ source: UnsafePointer<UInt32>, _ step: Int, _ tile: UnsafeMutablePointer<UInt32>) {
    for row in stride(from: 0, to: side, by: 4) {
      @inline(__always) func load(_ column: Int) -> SIMD4<UInt32> {
        UnsafeRawPointer(source + column * step + row).loadUnaligned(as: SIMD4<UInt32>.self)
      }
      @inline(__always) func store(_ vector: SIMD4<UInt32>, _ offset: Int) {
        UnsafeMutableRawPointer(tile + (row + offset) * side).storeBytes(of: vector, as: SIMD4<UInt32>.self)
      }
      let left = SIMD8(lowHalf: load(0), highHalf: load(1))
      let right = SIMD8(lowHalf: load(2), highHalf: load(3))
      let even = SIMD8(lowHalf: left.evenHalf, highHalf: right.evenHalf)
      let odd = SIMD8(lowHalf: left.oddHalf, highHalf: right.oddHalf)
      store(even.evenHalf, 0)
      store(odd.evenHalf, 1)
      store(even.oddHalf, 2)
      store(odd.oddHalf, 3)
    }
  }
}
