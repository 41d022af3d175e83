/// Tiles of equal size along one axis of a picture, and the share that each has in every pixel.
///
/// Neighbours overlap by a quarter of a tile, the last two by what is left. Shares ramp linearly over the overlap and sum
/// to one everywhere, so that a picture cut into two axes of tiles is blended by products of shares.
struct TileAxis {
  /// First latent pixel of every tile.
  let starts: [Int]
  /// Latent pixels of a tile.
  let size: Int
  private let length: Int
  private let overlap: Int

  /// `length`: latent pixels of the axis; `tile`: wanted size of a tile.
  init(length: Int, tile: Int) {
    self.length = length
    size = min(max(1, tile), length)
    overlap = max(1, size / 4)
    var starts = [0]
    if size < length {
      let stride = max(1, size - overlap)
      while starts[starts.count - 1] + size < length {
        starts.append(min(starts[starts.count - 1] + stride, length - size))
      }
    }
    self.starts = starts
  }

  /// Shares of tile `index` in its own pixels, `scale` pixels per latent one.
  func shares(_ index: Int, scale: Int) -> [Float] {
    var totals = [Float](repeating: 0, count: length * scale)
    for tile in starts.indices {
      for pixel in 0..<(size * scale) { totals[starts[tile] * scale + pixel] += weight(tile, pixel, scale) }
    }
    return (0..<(size * scale)).map { weight(index, $0, scale) / totals[starts[index] * scale + $0] }
  }

  private func weight(_ index: Int, _ pixel: Int, _ scale: Int) -> Float {
    let ramp = Float(overlap * scale)
    let rising = starts[index] == 0 ? 1 : (Float(pixel) + 0.5) / ramp
    let falling = starts[index] + size == length ? 1 : (Float(size * scale - pixel) - 0.5) / ramp
    return min(1, rising, falling)
  }
}
