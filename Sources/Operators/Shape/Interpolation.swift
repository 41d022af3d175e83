import Graph
import Support

/// Weighted sums along one axis after the other, computed in `Number`.
struct Interpolation<Number: BinaryFloatingPoint & NumericElement & SIMDScalar> {
  let passes: [(axis: Int, taps: ResizeAxis.Taps)]
  let pool: ThreadPool

  func run(from data: Tensor, to output: Tensor) throws {
    let numberType: DataType = Number.self == Float.self ? .float32 : .float64
    guard !passes.isEmpty else { return try copyElements(from: data, to: output) }
    var current = data
    if data.type != numberType {
      current = try Tensor(type: numberType, shape: data.shape)
      try withNumericElement(of: data.type, Widening(source: data, target: current, pool: pool))
    }
    for (index, pass) in passes.enumerated() {
      var shape = current.shape
      shape[pass.axis] = pass.taps.indices.count / pass.taps.count
      let isLast = index == passes.count - 1 && output.type == numberType
      let next = isLast ? output : try Tensor(type: numberType, shape: shape)
      interpolate(current, along: pass.axis, pass.taps, into: next)
      current = next
    }
    if output.type != numberType {
      try withNumericElement(of: output.type, Narrowing(source: current, target: output, pool: pool))
    }
  }

  private func interpolate(_ data: Tensor, along axis: Int, _ taps: ResizeAxis.Taps, into output: Tensor) {
    let outer = data.shape[..<axis].reduce(1, *)
    let inner = data.shape[(axis + 1)...].reduce(1, *)
    let (size, length) = (data.shape[axis], output.shape[axis])
    let source = data.pointer(Number.self)
    let target = output.pointer(Number.self)
    let weights = taps.weights.map { Number($0) }
    let count = taps.count
    taps.indices.withUnsafeBufferPointer { indices in
      weights.withUnsafeBufferPointer { weights in
        if inner == 1 {
          pool.forRanges(outer, grain: max(1, 16_384 / max(1, length * count))) { range in
            for line in range {
              let from = source + line * size
              let to = target + line * length
              for index in 0..<length {
                var sum = Number.zero
                for tap in (index * count)..<((index + 1) * count) { sum += weights[tap] * from[indices[tap]] }
                to[index] = sum
              }
            }
          }
          return
        }
        pool.forRanges(outer * length, grain: max(1, 16_384 / max(1, inner * count))) { range in
          for row in range {
            let (block, index) = row.quotientAndRemainder(dividingBy: length)
            let to = target + row * inner
            for tap in 0..<count {
              let weight = weights[index * count + tap]
              let from = source + (block * size + indices[index * count + tap]) * inner
              if tap == 0 {
                for element in 0..<inner { to[element] = weight * from[element] }
              } else if weight != 0 {
                for element in 0..<inner { to[element] += weight * from[element] }
              }
            }
          }
        }
      }
    }
  }

  private struct Widening: NumericComputation {
    let source: Tensor
    let target: Tensor
    let pool: ThreadPool
    func run<Element: NumericElement>(_: Element.Type) {
      let (from, to) = (source.pointer(Element.self), target.pointer(Number.self))
      pool.forRanges(source.count, grain: 16_384) { range in
        for index in range { to[index] = Number(from[index].asDouble) }
      }
    }
  }

  private struct Narrowing: NumericComputation {
    let source: Tensor
    let target: Tensor
    let pool: ThreadPool
    func run<Element: NumericElement>(_: Element.Type) {
      let (from, to) = (source.pointer(Number.self), target.pointer(Element.self))
      let isFloat = target.type.isFloatingPoint
      pool.forRanges(source.count, grain: 16_384) { range in
        for index in range {
          var number = Double(from[index])
          // Integers are truncated, as in ONNX Runtime; 2.9999999 is a rounding error of 3.
          if !isFloat, (number - number.rounded()).magnitude < 1e-5 { number = number.rounded() }
          to[index] = Element(rounding: number)
        }
      }
    }
  }
}
