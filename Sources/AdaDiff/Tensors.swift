import CAdaDiff
import Glibc
import Graph
import Support

/// Named tensors handed to a caller.
final class TensorsObject: @unchecked Sendable {
  let names: [CText]
  let tensors: [Tensor]
  let dims: [UnsafeMutablePointer<Int64>]
  /// For string tensors: the elements as C strings.
  private let texts: [[CText]]
  private let textPointers: [UnsafeMutablePointer<UnsafePointer<CChar>?>?]
  let report: CText

  init(_ named: [(name: String, tensor: Tensor)], report: String) {
    names = named.map { CText($0.name) }
    tensors = named.map(\.tensor)
    dims = tensors.map { tensor in
      let dims = UnsafeMutablePointer<Int64>.allocate(capacity: max(1, tensor.rank))
      dims.initialize(repeating: 0, count: max(1, tensor.rank))
      for (axis, size) in tensor.shape.enumerated() { dims[axis] = Int64(size) }
      return dims
    }
    let texts = tensors.map { $0.type == .string ? $0.strings.map(CText.init) : [] }
    self.texts = texts
    textPointers = zip(tensors, texts).map { tensor, texts in
      guard tensor.type == .string else { return nil }
      let pointers = UnsafeMutablePointer<UnsafePointer<CChar>?>.allocate(capacity: max(1, texts.count))
      pointers.initialize(repeating: nil, count: max(1, texts.count))
      for (index, text) in texts.enumerated() { pointers[index] = text.pointer }
      return pointers
    }
    self.report = CText(report)
  }

  deinit {
    for dims in dims { dims.deallocate() }
    for pointers in textPointers { pointers?.deallocate() }
  }

  func fill(_ view: UnsafeMutablePointer<adadiff_tensor>, index: Int) {
    let tensor = tensors[index]
    view.pointee.name = names[index].pointer
    view.pointee.type = tensor.type.rawValue
    view.pointee.rank = Int32(tensor.rank)
    view.pointee.dims = UnsafePointer(dims[index])
    if let pointers = textPointers[index] {
      view.pointee.data = UnsafeMutableRawPointer(pointers)
      view.pointee.byte_count = tensor.count * MemoryLayout<UnsafePointer<CChar>>.stride
    } else {
      view.pointee.data = tensor.bytes.baseAddress
      view.pointee.byte_count = tensor.bytes.count
    }
  }
}

/// `rank` sizes from a caller.
func shape(_ dims: UnsafePointer<Int64>?, rank: Int32, of name: String) throws -> [Int] {
  guard (0...8).contains(rank) else {
    throw Failure(.outOfRange, "the rank of \(name) is out of range", expected: "0…8", actual: "\(rank)")
  }
  guard rank > 0 else { return [] }
  guard let dims else { throw Failure(.invalidArgument, "the dims of \(name) are NULL") }
  let shape = (0..<Int(rank)).map { Int(dims[$0]) }
  _ = try CheckedSize.product(shape, of: "the shape of \(name)")
  return shape
}

/// The elements of a caller's array of views, whose stride is what the caller says.
func views(_ array: UnsafePointer<adadiff_tensor>?, count: Int32, named name: String) throws -> [adadiff_tensor] {
  guard (0...65536).contains(count) else {
    throw Failure(.outOfRange, "the number of \(name) is out of range", expected: "0…65536", actual: "\(count)")
  }
  guard count > 0 else { return [] }
  guard let array else { throw Failure(.invalidArgument, "argument '\(name)' is NULL") }
  let stride = array.pointee.struct_size
  try checkStructSize(stride, minimum: MemoryLayout<adadiff_tensor>.size, of: "adadiff_tensor")
  let base = UnsafeRawPointer(array)
  return try (0..<Int(count)).map { index in
    let view = base.loadUnaligned(fromByteOffset: index * stride, as: adadiff_tensor.self)
    guard view.struct_size == stride else {
      throw Failure(
        .abiMismatch, "struct_size differs within '\(name)' at index \(index)", expected: "\(stride)",
        actual: "\(view.struct_size)")
    }
    return view
  }
}

/// A checked view with its name, type and shape in Swift.
struct CheckedView {
  var name: String
  var type: DataType
  var shape: [Int]
  var bytes: UnsafeMutableRawBufferPointer

  init(_ view: adadiff_tensor, of list: String) throws {
    name = try text(view.name, "\(list)[].name")
    guard let type = DataType(rawValue: view.type) else {
      throw Failure(.typeMismatch, "tensor '\(name)' has an unknown element type", actual: "\(view.type)")
    }
    self.type = type
    shape = try AdaDiff.shape(view.dims, rank: view.rank, of: "tensor '\(name)'")
    let elements = try CheckedSize.product(shape, of: "the shape of tensor '\(name)'")
    let byteCount =
      type == .string ? elements * MemoryLayout<UnsafePointer<CChar>>.stride : type.byteCount(elements)
    guard view.byte_count == byteCount else {
      throw Failure(
        .shapeMismatch, "tensor '\(name)': byte_count does not fit \(type.name) \(shape)", expected: "\(byteCount)",
        actual: "\(view.byte_count)")
    }
    guard byteCount == 0 || view.data != nil else { throw Failure(.invalidArgument, "tensor '\(name)': data is NULL") }
    bytes = UnsafeMutableRawBufferPointer(start: view.data, count: byteCount)
  }

  /// The caller's memory as an input: used in place when aligned, copied otherwise.
  func inputTensor() throws -> Tensor {
    if type == .string {
      let pointers = bytes.baseAddress?.assumingMemoryBound(to: UnsafePointer<CChar>?.self)
      let count = bytes.count / MemoryLayout<UnsafePointer<CChar>>.stride
      let strings = try (0..<count).map { try text(pointers?[$0], "tensor '\(name)' element \($0)") }
      return Tensor(strings: strings, shape: shape)
    }
    // Vector kernels read whole elements; 16 covers the largest.
    if UInt(bitPattern: bytes.baseAddress) % 16 == 0 || bytes.isEmpty {
      return Tensor(type: type, shape: shape, bytes: bytes, owner: nil)
    }
    let copy = try Tensor(type: type, shape: shape)
    copy.bytes.copyMemory(from: UnsafeRawBufferPointer(bytes))
    return copy
  }
}

@c @implementation
public func adadiff_tensors_count(_ tensors: OpaquePointer?) -> Int32 {
  Int32(clamping: HandleTable.shared.find(tensors, as: TensorsObject.self)?.tensors.count ?? 0)
}

@c @implementation
public func adadiff_tensors_get(
  _ tensors: OpaquePointer?, _ index: Int32, _ view: UnsafeMutablePointer<adadiff_tensor>?, _ error: HandleSlot?
) -> adadiff_status {
  mapped(error) {
    let object = try object(tensors, "tensors", as: TensorsObject.self)
    guard let view else { throw Failure(.invalidArgument, "argument 'view' is NULL") }
    try checkStructSize(view.pointee.struct_size, minimum: MemoryLayout<adadiff_tensor>.size, of: "adadiff_tensor")
    guard object.tensors.indices.contains(Int(index)) else {
      throw Failure(
        .outOfRange, "tensor index out of range", expected: "0…\(object.tensors.count - 1)", actual: "\(index)")
    }
    object.fill(view, index: Int(index))
  }
}

@c @implementation
public func adadiff_tensors_report(_ tensors: OpaquePointer?) -> UnsafePointer<CChar>? {
  HandleTable.shared.find(tensors, as: TensorsObject.self)?.report.pointer
}

@c @implementation
public func adadiff_tensors_free(_ tensors: OpaquePointer?) {
  HandleTable.shared.remove(tensors, as: TensorsObject.self)
}
