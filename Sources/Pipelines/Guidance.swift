import Graph
import Support

/// Classifier-free guidance (Ho and Salimans 2022): away from the unconditional prediction, towards the prompt's.
enum Guidance {
  /// `output = unconditional + scale * (conditional - unconditional)`, all of equal size; `output` may be either input.
  static func combine(
    unconditional: UnsafePointer<Float>, conditional: UnsafePointer<Float>, scale: Float, count: Int,
    into output: UnsafeMutablePointer<Float>
  ) {
    for index in 0..<count {
      output[index] = unconditional[index] + scale * (conditional[index] - unconditional[index])
    }
  }

  /// Brings the standard deviation of each guided image back towards that of the conditional prediction (Lin et al.
  /// 2024, section 3.4): `guided *= rescale * deviation(conditional) / deviation(guided) + 1 - rescale`.
  static func rescale(
    _ guided: UnsafeMutablePointer<Float>, conditional: UnsafePointer<Float>, images: Int, elements: Int,
    rescale: Double
  ) {
    for image in 0..<images {
      let offset = image * elements
      let wanted = deviation(conditional + offset, elements)
      let present = deviation(UnsafePointer(guided) + offset, elements)
      guard present > 0 else { continue }
      let factor = Float(rescale * wanted / present + 1 - rescale)
      for index in offset..<offset + elements { guided[index] *= factor }
    }
  }

  /// Sample standard deviation, as torch's `std`.
  private static func deviation(_ values: UnsafePointer<Float>, _ count: Int) -> Double {
    guard count > 1 else { return 0 }
    var sum = 0.0
    for index in 0..<count { sum += Double(values[index]) }
    let mean = sum / Double(count)
    var squares = 0.0
    for index in 0..<count { squares += (Double(values[index]) - mean) * (Double(values[index]) - mean) }
    return (squares / Double(count - 1)).squareRoot()
  }
}
