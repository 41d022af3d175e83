import Glibc
import Graph
import Support

/// Pixels as image encoders take them: resized and cropped as Pillow and torchvision do, then normalised.
struct PicturePreprocessor: Sendable {
  /// Short side after resizing; nil keeps the picture's size.
  var size: Int?
  /// Cut a square of that size from the middle.
  var crops = true
  var mean: [Double]
  var deviation: [Double]

  /// Values of −1…1 at the picture's own size.
  static let plain = PicturePreprocessor(size: nil, mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5])
  /// OpenAI's CLIP and ImageReward.
  static let clip = PicturePreprocessor(
    size: 224, mean: [0.48145466, 0.4578275, 0.40821073], deviation: [0.26862954, 0.26130258, 0.27577711])

  init(size: Int?, crops: Bool = true, mean: [Double], deviation: [Double]) {
    self.size = size
    self.crops = crops
    self.mean = mean
    self.deviation = deviation
  }

  /// From `{"size": 224, "crop": true, "mean": […], "std": […]}`, or the keys of a `preprocessor_config.json`.
  init(json: JSON, default base: PicturePreprocessor, file: String) throws(Failure) {
    self = base
    func bad(_ key: String) -> Failure {
      Failure(.corrupt, "'\(key)' of the preprocessing is not usable", component: "reward", file: file)
    }
    func numbers(_ keys: [String], _ positive: Bool) throws(Failure) -> [Double]? {
      for key in keys {
        guard let value = json[key], !value.isNull else { continue }
        let list = value.array?.compactMap(\.double).filter { $0.isFinite && (!positive || $0 > 0) }
        guard let list, list.count == 3 else { throw bad(key) }
        return list
      }
      return nil
    }
    let written = json["size"].flatMap { $0.int ?? $0["shortest_edge"]?.int ?? $0["height"]?.int }
    if let value = json["size"], !value.isNull, written == nil { throw bad("size") }
    if let written {
      guard (8...4096).contains(written) else { throw bad("size") }
      size = written
    }
    crops = json["crop"]?.bool ?? json["do_center_crop"]?.bool ?? base.crops
    mean = try numbers(["mean", "image_mean"], false) ?? base.mean
    deviation = try numbers(["std", "image_std"], true) ?? base.deviation
  }

  /// uint8 (height, width, 3) to float32 (1, 3, height, width).
  func apply(_ image: Tensor) throws(Failure) -> Tensor {
    var picture = withExtendedLifetime(image) {
      BytePicture(height: image.shape[0], width: image.shape[1], bytes: Array(image.buffer(UInt8.self)))
    }
    if let size {
      let short = min(picture.height, picture.width)
      // As torchvision: the long side is cut to whole pixels.
      let height = picture.height == short ? size : size * picture.height / short
      let width = picture.width == short ? size : size * picture.width / short
      picture = picture.resized(height: height, width: width)
      if crops { picture = picture.centre(size) }
    }
    let result = try Tensor(type: .float32, shape: [1, 3, picture.height, picture.width])
    let values = result.buffer(Float.self)
    let plane = picture.height * picture.width
    for position in 0..<plane {
      for channel in 0..<3 {
        let unit = Double(picture.bytes[position * 3 + channel]) / 255
        values[channel * plane + position] = Float((unit - mean[channel]) / deviation[channel])
      }
    }
    return result
  }
}

/// 8-bit RGB pixels, row-major.
struct BytePicture: Sendable {
  var height: Int
  var width: Int
  var bytes: [UInt8]

  /// Pillow's bicubic resampling (a = −0.5), widened when shrinking; rounded to bytes between the two passes as Pillow does.
  func resized(height: Int, width: Int) -> BytePicture {
    let wide = width == self.width ? self : pass(to: width, horizontal: true)
    return height == wide.height ? wide : wide.pass(to: height, horizontal: false)
  }

  private func pass(to size: Int, horizontal: Bool) -> BytePicture {
    let source = horizontal ? width : height
    let scale = Double(source) / Double(size)
    let filterScale = max(1, scale)
    let support = 2 * filterScale
    let (newHeight, newWidth) = horizontal ? (height, size) : (size, width)
    var result = BytePicture(
      height: newHeight, width: newWidth, bytes: [UInt8](repeating: 0, count: newHeight * newWidth * 3))
    for target in 0..<size {
      let centre = (Double(target) + 0.5) * scale
      let first = max(0, Int(centre - support + 0.5))
      let last = min(source, Int(centre + support + 0.5))
      var weights = (first..<max(first, last)).map { Self.cubic((Double($0) - centre + 0.5) / filterScale) }
      let total = weights.reduce(0, +)
      weights = weights.map { $0 / total }
      for line in 0..<(horizontal ? height : width) {
        for channel in 0..<3 {
          var sum = 0.0
          for (index, weight) in weights.enumerated() {
            let place = horizontal ? line * width + first + index : (first + index) * width + line
            sum += weight * Double(bytes[place * 3 + channel])
          }
          let place = horizontal ? line * newWidth + target : target * newWidth + line
          result.bytes[place * 3 + channel] = UInt8(min(max((sum + 0.5).rounded(.down), 0), 255))
        }
      }
    }
    return result
  }

  private static func cubic(_ x: Double) -> Double {
    let (a, x) = (-0.5, abs(x))
    if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0
  }

  /// The square in the middle, as torchvision's CenterCrop.
  func centre(_ size: Int) -> BytePicture {
    let (side, top) = (min(size, min(height, width)), 0.5)
    let row = Int((Double(height - side) * top).rounded(.toNearestOrEven))
    let column = Int((Double(width - side) * top).rounded(.toNearestOrEven))
    var result = BytePicture(height: side, width: side, bytes: [])
    result.bytes.reserveCapacity(side * side * 3)
    for y in 0..<side {
      let start = ((row + y) * width + column) * 3
      result.bytes += bytes[start..<start + side * 3]
    }
    return result
  }
}
