import Graph
import Support

extension Tensor {
  /// Every element as Double. For operators that are not worth a kernel; allocates.
  func doubles() -> [Double] {
    [Double](unsafeUninitializedCapacity: count) { buffer, initialized in
      if let base = buffer.baseAddress {
        Double.widen(type, rawPointer, at: 0, count: count, into: base)
      }
      initialized = count
    }
  }

  /// Writes every element, rounded to the tensor's type. `values` has `count` elements.
  func store(_ values: [Double]) {
    values.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress, buffer.count == count else { return }
      Double.narrow(type, base, count: count, into: rawPointer, at: 0, rules: .standard)
    }
  }
}
