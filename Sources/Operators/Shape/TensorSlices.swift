import Graph
import Support

/// Taking tensors apart along one axis and putting them together again, for Loop and Scan.
enum TensorSlices {
  static func axis(_ axis: Int, rank: Int) throws -> Int {
    guard axis >= -rank, axis < rank else {
      throw Failure(.outOfRange, "axis \(axis) does not exist", expected: "rank \(rank)")
    }
    return axis < 0 ? axis + rank : axis
  }

  /// `tensor` at `position` of `axis`, which the result has no more. The caller has checked both.
  static func slice(_ tensor: Tensor, axis: Int, at position: Int) throws -> Tensor {
    var shape = tensor.shape
    let length = shape.remove(at: axis)
    let outer = tensor.shape[..<axis].reduce(1, *)
    let inner = tensor.shape[(axis + 1)...].reduce(1, *)
    let result = try Tensor(type: tensor.type, shape: shape)
    if tensor.type == .string {
      var strings: [String] = []
      for block in 0..<outer {
        let start = (block * length + position) * inner
        strings += tensor.strings[start..<(start + inner)]
      }
      return Tensor(strings: strings, shape: shape)
    }
    let width = try byteWidth(tensor) * inner
    for block in 0..<outer where width > 0 {
      copy(tensor, (block * length + position) * width, result, block * width, width)
    }
    return result
  }

  /// `tensors`, all of one type and shape, along a new `axis`.
  static func stack(_ tensors: [Tensor], axis: Int) throws -> Tensor {
    guard let first = tensors.first else { throw Failure(.internalError, "nothing to stack") }
    for tensor in tensors where tensor.shape != first.shape || tensor.type != first.type {
      throw Failure(
        .shapeMismatch, "a scan output changes between iterations", expected: "\(first.type) \(first.shape)",
        actual: "\(tensor.type) \(tensor.shape)")
    }
    var shape = first.shape
    shape.insert(tensors.count, at: axis)
    let outer = first.shape[..<axis].reduce(1, *)
    let inner = first.shape[axis...].reduce(1, *)
    if first.type == .string {
      var strings: [String] = []
      for block in 0..<outer {
        for tensor in tensors { strings += tensor.strings[(block * inner)..<((block + 1) * inner)] }
      }
      return Tensor(strings: strings, shape: shape)
    }
    let result = try Tensor(type: first.type, shape: shape)
    let width = try byteWidth(first) * inner
    for block in 0..<outer where width > 0 {
      for (index, tensor) in tensors.enumerated() {
        copy(tensor, block * width, result, (block * tensors.count + index) * width, width)
      }
    }
    return result
  }

  private static func byteWidth(_ tensor: Tensor) throws -> Int {
    guard tensor.type.bitWidth >= 8 else { throw Failure(.unsupported, "loops over packed \(tensor.type) tensors") }
    return tensor.type.bitWidth / 8
  }

  private static func copy(_ source: Tensor, _ from: Int, _ target: Tensor, _ to: Int, _ count: Int) {
    UnsafeMutableRawBufferPointer(rebasing: target.bytes[to..<(to + count)])
      .copyMemory(from: UnsafeRawBufferPointer(rebasing: source.bytes[from..<(from + count)]))
  }
}
