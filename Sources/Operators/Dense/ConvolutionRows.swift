import KernelTable

/// The rows of a convolution's virtual matrix for one group: one per output pixel, ordered (tap, channel).
struct ConvolutionRows: RowSource {
  let shape: ConvolutionShape
  /// The group's first channel.
  let base: UnsafePointer<Float>
  /// What an integer would stand for in every stored input pixel's channels of the group; nil unless products are of integers.
  let pixelScales: UnsafePointer<Float>?

  func pack(_ rowStart: Int, _ rows: Int, _ kStart: Int, _ depth: Int, _ target: PackedRows) {
    let w = shape.window
    let channels = shape.groupIn
    let pixel = shape.inChannels
    let images = shape.storedInputCount * pixel
    let scale = shape.enlargement
    let line = w.input.x / scale
    var place = OutputPlace(row: rowStart, window: w)
    let (firstTap, firstChannel) = kStart.quotientAndRemainder(dividingBy: channels)
    let (firstPlane, firstX) = firstTap.quotientAndRemainder(dividingBy: w.kernel.x)
    let (firstZ, firstY) = firstPlane.quotientAndRemainder(dividingBy: w.kernel.y)
    for row in 0..<rows {
      let image = base + place.image * images
      var k = kStart
      let end = kStart + depth
      var channel = firstChannel
      var (kz, ky, kx) = (firstZ, firstY, firstX)
      while k < end {
        let count = min(channels - channel, end - k)
        let iz = place.z * w.stride.z - w.padBegin.z + kz * w.dilation.z
        let iy = place.y * w.stride.y - w.padBegin.y + ky * w.dilation.y
        let ix = place.x * w.stride.x - w.padBegin.x + kx * w.dilation.x
        if iz >= 0, iz < w.input.z, iy >= 0, iy < w.input.y, ix >= 0, ix < w.input.x {
          let (sy, sx) = scale == 1 ? (iy, ix) : (iy / scale, ix / scale)
          let source = image + ((iz * w.input.y + sy) * line + sx) * pixel + channel
          target.write(source, count: count, row: row, at: k - kStart)
        } else {
          target.clear(count: count, row: row, at: k - kStart)
        }
        k += count
        channel = 0
        kx += 1
        if kx == w.kernel.x {
          kx = 0
          ky += 1
          if ky == w.kernel.y {
            ky = 0
            kz += 1
          }
        }
      }
      place.advance(w)
    }
  }

  /// One scale per output pixel, of all pixels that its window covers.
  func quantize(
    _ rowStart: Int, _ rows: Int, _ format: ElementFormat, scales: UnsafeMutablePointer<Float>,
    factors: UnsafeMutablePointer<Float>
  ) {
    let w = shape.window
    let scale = shape.enlargement
    let line = w.input.x / scale
    var place = OutputPlace(row: rowStart, window: w)
    for row in 0..<rows {
      var top: Float = pixelScales == nil ? .nan : 0
      var squares = 0.0
      if let image = pixelScales.map({ $0 + place.image * shape.storedInputCount }) {
        w.forEachTap(at: place) { _, index in
          let (y, x) = index.quotientAndRemainder(dividingBy: w.input.x)
          let value = image[scale == 1 ? index : y / scale * line + x / scale]
          squares += Double(value) * Double(value)
          // A NaN stays.
          if !(value <= top) && !top.isNaN { top = value }
        }
      }
      // Norms add up by their squares.
      scales[row] = format == .int16 && !top.isNaN ? Float(squares.squareRoot()) : top
      let factor = 1 / scales[row]
      factors[row] = factor.isFinite ? factor : 0
      place.advance(w)
    }
  }
}
