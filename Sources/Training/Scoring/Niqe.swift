import Glibc
import Graph
import Support

/// NIQE (Mittal, Soundararajan and Bovik 2013): how far the statistics of a picture's blocks are from those of pristine
/// natural pictures. **Smaller is better**: give it a negative weight in a mixture.
///
/// The parameters file is JSON with the mean and covariance of the pristine features: `{"mean": [36 numbers],
/// "covariance": [36 rows of 36]}`. Pictures need at least two blocks of 96 × 96 pixels.
struct Niqe: PictureScorer {
  static let block = 96
  static let features = 36

  private let mean: [Double]
  private let covariance: [[Double]]

  init(parametersFile file: String) throws(Failure) {
    let json = try JSON.parse(file: file)
    let mean = json["mean"]?.array?.compactMap(\.double) ?? []
    let rows = json["covariance"]?.array?.map { $0.array?.compactMap(\.double) ?? [] } ?? []
    guard mean.count == Self.features, rows.count == Self.features,
      rows.allSatisfy({ $0.count == Self.features && $0.allSatisfy(\.isFinite) }), mean.allSatisfy(\.isFinite)
    else {
      throw Failure(
        .corrupt, "not the parameters of NIQE", component: "niqe", file: file,
        expected: "'mean' with 36 numbers and 'covariance' with 36 × 36")
    }
    self.mean = mean
    covariance = rows
  }

  func score(_ picture: ScoredPicture, checkCancelled: @escaping () throws -> Void) throws -> Double {
    let image = picture.image
    let (height, width) = (image.shape[0], image.shape[1])
    let (down, across) = (height / Self.block, width / Self.block)
    guard down * across >= 2 else {
      throw Failure(
        .outOfRange, "NIQE needs at least two blocks of 96 × 96 pixels", component: "niqe", expected: "192 × 96 pixels",
        actual: "\(width) × \(height)")
    }
    var plane = Plane(height: down * Self.block, width: across * Self.block)
    withExtendedLifetime(image) {
      let pixels = image.buffer(UInt8.self)
      for y in 0..<plane.height {
        for x in 0..<plane.width {
          let p = (y * width + x) * 3
          // ITU-R BT.601 as MATLAB's rgb2ycbcr: 16…235.
          let luma =
            16 + (65.481 * Double(pixels[p]) + 128.553 * Double(pixels[p + 1]) + 24.966 * Double(pixels[p + 2])) / 255
          plane.values[y * plane.width + x] = luma.rounded(.toNearestOrEven)
        }
      }
    }
    var rows = [[Double]](repeating: [], count: down * across)
    for scale in [1, 2] {
      try checkCancelled()
      if scale == 2 { plane = plane.halved() }
      let normal = plane.normalized()
      let side = Self.block / scale
      for index in rows.indices {
        let (row, column) = index.quotientAndRemainder(dividingBy: across)
        rows[index] += BlockFeatures.features(normal.cut(y: row * side, x: column * side, side: side))
      }
    }
    return distance(rows)
  }

  /// √((μ₀ − μ)ᵀ ((Σ₀ + Σ) / 2)⁺ (μ₀ − μ)); blocks without a statistic (constant ones) count nowhere they have none.
  private func distance(_ rows: [[Double]]) -> Double {
    let count = Self.features
    let centre = (0..<count).map { index in
      let known = rows.map { $0[index] }.filter { !$0.isNaN }
      return known.reduce(0, +) / Double(known.count)
    }
    let whole = rows.filter { $0.allSatisfy { !$0.isNaN } }
    let means = (0..<count).map { index in whole.reduce(0) { $0 + $1[index] } / Double(whole.count) }
    var matrix = covariance
    for i in 0..<count {
      for j in 0..<count {
        let sum = whole.reduce(0) { $0 + ($1[i] - means[i]) * ($1[j] - means[j]) }
        matrix[i][j] = (matrix[i][j] + sum / Double(whole.count - 1)) / 2
      }
    }
    let difference = zip(mean, centre).map { $0 - $1 }
    guard difference.allSatisfy(\.isFinite), matrix.allSatisfy({ $0.allSatisfy(\.isFinite) }) else { return .nan }
    return SymmetricMatrix(matrix).pseudoInverseForm(difference).squareRoot()
  }
}

/// A plane of numbers.
struct Plane {
  var height: Int
  var width: Int
  var values: [Double]

  init(height: Int, width: Int) {
    self.height = height
    self.width = width
    values = Array(repeating: 0, count: height * width)
  }

  /// (x − local mean) / (local deviation + 1) under a 7 × 7 Gaussian of deviation 7/6 with the border repeated.
  func normalized() -> Plane {
    var squares = self
    for index in values.indices { squares.values[index] = values[index] * values[index] }
    let (means, meanSquares) = (smoothed(), squares.smoothed())
    var result = self
    for index in values.indices {
      let mean = means.values[index]
      let deviation = abs(meanSquares.values[index] - mean * mean).squareRoot()
      result.values[index] = (values[index] - mean) / (deviation + 1)
    }
    return result
  }

  private func smoothed() -> Plane {
    let variance: Double = 49.0 / 36
    var raw: [Double] = []
    for offset in -3...3 { raw.append(exp(-Double(offset * offset) / (2 * variance))) }
    let total = raw.reduce(0, +)
    return filtered(raw.map { $0 / total }, alongRows: true).filtered(raw.map { $0 / total }, alongRows: false)
  }

  private func filtered(_ taps: [Double], alongRows: Bool) -> Plane {
    var result = self
    for y in 0..<height {
      for x in 0..<width {
        var sum = 0.0
        for (index, tap) in taps.enumerated() {
          let offset = index - taps.count / 2
          let place =
            alongRows
            ? y * width + min(max(x + offset, 0), width - 1) : min(max(y + offset, 0), height - 1) * width + x
          sum += tap * values[place]
        }
        result.values[y * width + x] = sum
      }
    }
    return result
  }

  /// MATLAB's imresize by one half: bicubic, widened by two, borders mirrored.
  func halved() -> Plane {
    func taps(_ size: Int) -> [[(place: Int, weight: Double)]] {
      (0..<size / 2).map { target in
        let centre = 2 * Double(target) + 0.5
        let first = Int((centre - 4).rounded(.down))
        var raw: [(place: Int, weight: Double)] = []
        for place in first...first + 9 {
          let mirrored = place < 0 ? -place - 1 : place >= size ? 2 * size - 1 - place : place
          let weight = Self.cubic((centre - Double(place)) / 2)
          if weight != 0 { raw.append((min(max(mirrored, 0), size - 1), weight)) }
        }
        let total = raw.reduce(0.0) { $0 + $1.weight }
        return raw.map { ($0.place, $0.weight / total) }
      }
    }
    var tall = Plane(height: height / 2, width: width)
    for (y, row) in taps(height).enumerated() {
      for x in 0..<width {
        tall.values[y * width + x] = row.reduce(0) { $0 + $1.weight * values[$1.place * width + x] }
      }
    }
    var result = Plane(height: tall.height, width: width / 2)
    let columns = taps(width)
    for y in 0..<result.height {
      for (x, column) in columns.enumerated() {
        result.values[y * result.width + x] = column.reduce(0) { $0 + $1.weight * tall.values[y * width + $1.place] }
      }
    }
    return result
  }

  private static func cubic(_ x: Double) -> Double {
    let x = abs(x)
    if x <= 1 { return (1.5 * x - 2.5) * x * x + 1 }
    return x <= 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0
  }

  func cut(y: Int, x: Int, side: Int) -> Plane {
    var result = Plane(height: side, width: side)
    for row in 0..<side {
      for column in 0..<side { result.values[row * side + column] = values[(y + row) * width + x + column] }
    }
    return result
  }
}

/// The 18 numbers of one block at one scale.
enum BlockFeatures {
  static func features(_ block: Plane) -> [Double] {
    let own = AsymmetricGaussian(block.values)
    var result = [own.shape, (own.left + own.right) / 2]
    // Products with the neighbours right, below, and on both diagonals; the block wraps around, as in the official code.
    for (down, right) in [(0, 1), (1, 0), (1, 1), (1, -1)] {
      let side = block.width
      var products = block.values
      for y in 0..<side {
        for x in 0..<side {
          let other = ((y - down + side) % side) * side + (x - right + side) % side
          products[y * side + x] *= block.values[other]
        }
      }
      let pair = AsymmetricGaussian(products)
      let mean = (pair.right - pair.left) * tgamma(2 / pair.shape) / tgamma(1 / pair.shape)
      result += [pair.shape, mean, pair.left, pair.right]
    }
    return result
  }
}

/// An asymmetric generalised Gaussian fitted by moments (Lasmar, Stitou and Berthoumieu 2009).
struct AsymmetricGaussian {
  var shape: Double
  var left: Double
  var right: Double

  private static let first = 0.2
  private static let step = 0.001
  /// Γ(2/α)² / (Γ(1/α) Γ(3/α)) for α = 0.2, 0.201, …, 10: ascending.
  private static let ratios: [Double] = (0...9800).map {
    let inverse = 1 / (first + Double($0) * step)
    return tgamma(2 * inverse) * tgamma(2 * inverse) / (tgamma(inverse) * tgamma(3 * inverse))
  }

  init(_ values: [Double]) {
    var (negative, positive, squares, absolute) = (0.0, 0.0, 0.0, 0.0)
    var (negatives, positives) = (0, 0)
    for value in values {
      absolute += abs(value)
      squares += value * value
      if value < 0 {
        negative += value * value
        negatives += 1
      } else if value > 0 {
        positive += value * value
        positives += 1
      }
    }
    let count = Double(values.count)
    let (leftDeviation, rightDeviation) = (
      (negative / Double(negatives)).squareRoot(), (positive / Double(positives)).squareRoot()
    )
    let skew = leftDeviation / rightDeviation
    let ratio = (absolute / count) * (absolute / count) / (squares / count)
    let wanted = ratio * (skew * skew * skew + 1) * (skew + 1) / ((skew * skew + 1) * (skew * skew + 1))
    guard wanted.isFinite else {
      (shape, left, right) = (.nan, .nan, .nan)
      return
    }
    var (low, high) = (0, Self.ratios.count - 1)
    while high - low > 1 {
      let middle = (low + high) / 2
      if Self.ratios[middle] <= wanted { low = middle } else { high = middle }
    }
    let index = abs(Self.ratios[low] - wanted) <= abs(Self.ratios[high] - wanted) ? low : high
    shape = Self.first + Double(index) * Self.step
    let factor = (tgamma(1 / shape) / tgamma(3 / shape)).squareRoot()
    left = leftDeviation * factor
    right = rightDeviation * factor
  }
}

/// Eigenvalues by Jacobi's rotations.
struct SymmetricMatrix {
  private var a: [[Double]]

  init(_ rows: [[Double]]) { a = rows }

  /// vᵀ A⁺ v with the pseudo-inverse that drops eigenvalues below 1e-15 of the largest.
  func pseudoInverseForm(_ vector: [Double]) -> Double {
    var a = a
    var rotated = vector
    let n = a.count
    for _ in 0..<100 {
      var off = 0.0
      for i in 0..<n { for j in 0..<n where i != j { off += a[i][j] * a[i][j] } }
      let size = (0..<n).reduce(0) { $0 + a[$1][$1] * a[$1][$1] }
      if off <= 1e-30 * size { break }
      for p in 0..<n - 1 {
        for q in p + 1..<n where a[p][q] != 0 {
          let theta = (a[q][q] - a[p][p]) / (2 * a[p][q])
          let t = (theta < 0 ? -1 : 1) / (abs(theta) + (theta * theta + 1).squareRoot())
          let c = 1 / (t * t + 1).squareRoot()
          let s = t * c
          for k in 0..<n {
            let (x, y) = (a[k][p], a[k][q])
            (a[k][p], a[k][q]) = (c * x - s * y, s * x + c * y)
          }
          for k in 0..<n {
            let (x, y) = (a[p][k], a[q][k])
            (a[p][k], a[q][k]) = (c * x - s * y, s * x + c * y)
          }
          let (x, y) = (rotated[p], rotated[q])
          (rotated[p], rotated[q]) = (c * x - s * y, s * x + c * y)
        }
      }
    }
    let largest = (0..<n).reduce(0) { max($0, abs(a[$1][$1])) }
    return (0..<n).reduce(0) { sum, index in
      abs(a[index][index]) > 1e-15 * largest ? sum + rotated[index] * rotated[index] / a[index][index] : sum
    }
  }
}
