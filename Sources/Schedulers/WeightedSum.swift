/// One summand of a solver update: a coefficient in Double and the tensor it scales.
struct Term {
  let weight: Double
  let values: UnsafePointer<Float>

  init(_ weight: Double, _ values: UnsafePointer<Float>) {
    self.weight = weight
    self.values = values
  }

  init(_ weight: Double, _ values: UnsafeMutablePointer<Float>) {
    self.init(weight, UnsafePointer(values))
  }
}

/// `output[i] = Σ weight_k * values_k[i]` in one pass, summed in Double and rounded once.
///
/// Terms of weight zero are left out, so a tensor holding infinities cannot turn `0 * inf` into NaN.
/// `output` may be one of the inputs.
enum WeightedSum {
  static func store(into output: UnsafeMutablePointer<Float>, count: Int, _ allTerms: [Term]) {
    let terms = allTerms.filter { $0.weight != 0 }
    switch terms.count {
    case 0:
      output.update(repeating: 0, count: count)
    case 1:
      let (w0, x0) = (terms[0].weight, terms[0].values)
      for i in 0..<count { output[i] = Float(w0 * Double(x0[i])) }
    case 2:
      let (w0, x0) = (terms[0].weight, terms[0].values)
      let (w1, x1) = (terms[1].weight, terms[1].values)
      for i in 0..<count { output[i] = Float(w0 * Double(x0[i]) + w1 * Double(x1[i])) }
    case 3:
      let (w0, x0) = (terms[0].weight, terms[0].values)
      let (w1, x1) = (terms[1].weight, terms[1].values)
      let (w2, x2) = (terms[2].weight, terms[2].values)
      for i in 0..<count {
        output[i] = Float(w0 * Double(x0[i]) + w1 * Double(x1[i]) + w2 * Double(x2[i]))
      }
    case 4:
      let (w0, x0) = (terms[0].weight, terms[0].values)
      let (w1, x1) = (terms[1].weight, terms[1].values)
      let (w2, x2) = (terms[2].weight, terms[2].values)
      let (w3, x3) = (terms[3].weight, terms[3].values)
      for i in 0..<count {
        output[i] = Float(w0 * Double(x0[i]) + w1 * Double(x1[i]) + (w2 * Double(x2[i]) + w3 * Double(x3[i])))
      }
    default:
      for i in 0..<count {
        var sum = 0.0
        for term in terms { sum += term.weight * Double(term.values[i]) }
        output[i] = Float(sum)
      }
    }
  }
}
