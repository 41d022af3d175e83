import CAdaDiff
import Graph
import Support

/// A named tensor that was copied out of the library.
struct LibraryTensor {
  var name: String
  var type: DataType
  var shape: [Int]
  var bytes: [UInt8]
  var strings: [String] = []

  /// Copies every tensor of `tensors` and frees it.
  static func all(of tensors: OpaquePointer) throws(Failure) -> [LibraryTensor] {
    defer { adadiff_tensors_free(tensors) }
    var result: [LibraryTensor] = []
    for index in 0..<adadiff_tensors_count(tensors) {
      var view = adadiff_tensor()
      view.struct_size = MemoryLayout<adadiff_tensor>.stride
      try LibraryCall.check { adadiff_tensors_get(tensors, index, &view, $0) }
      let shape = UnsafeBufferPointer(start: view.dims, count: view.dims == nil ? 0 : Int(view.rank)).map { Int($0) }
      guard let type = DataType(rawValue: view.type) else {
        throw Failure(.internalError, "unknown element type \(view.type)")
      }
      var tensor = LibraryTensor(
        name: LibraryCall.string(view.name) ?? "", type: type, shape: shape, bytes: [])
      if type == .string {
        let pointers = view.data?.assumingMemoryBound(to: UnsafePointer<CChar>?.self)
        tensor.strings = UnsafeBufferPointer(start: pointers, count: pointers == nil ? 0 : shape.reduce(1, *))
          .map { LibraryCall.string($0) ?? "" }
      } else {
        tensor.bytes = Array(UnsafeRawBufferPointer(start: view.data, count: view.byte_count))
      }
      result.append(tensor)
    }
    return result
  }

  /// Elements as Int; empty for other types than int64.
  var integers: [Int] {
    guard type == .int64 else { return [] }
    return bytes.withUnsafeBytes { raw in
      (0..<(raw.count / 8)).map { Int(raw.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self)) }
    }
  }
}

/// Name, element type and declared shape of a model's input or output.
struct LibraryPort {
  var name: String
  /// Nil when the model declares none, or something that is not a tensor.
  var type: DataType?
  /// Sizes, or the names of free dimensions; nil when the rank is not declared.
  var dimensions: [String]?

  var declaration: String {
    "\(type?.name ?? "any")\(dimensions.map { "[\($0.joined(separator: ", "))]" } ?? "[…]")"
  }
}

/// An ONNX model that is open.
final class LibraryModel {
  private let handle: OpaquePointer

  init(path: String, options: LibraryOptions) throws(Failure) {
    handle = try LibraryCall.make { adadiff_model_open(path, options.handle, $0, $1) }
  }

  deinit { adadiff_model_free(handle) }

  func information() throws(Failure) -> JSON { try LibraryCall.json(adadiff_model_info(handle)) }

  var inputs: [LibraryPort] {
    (0..<adadiff_model_input_count(handle)).map { index in
      let rank = adadiff_model_input_rank(handle, index)
      return LibraryPort(
        name: LibraryCall.string(adadiff_model_input_name(handle, index)) ?? "",
        type: DataType(rawValue: adadiff_model_input_type(handle, index)),
        dimensions: rank < 0
          ? nil
          : (0..<rank).map { axis in
            let size = adadiff_model_input_dim(handle, index, axis)
            return size >= 0
              ? String(size) : LibraryCall.string(adadiff_model_input_dim_name(handle, index, axis)) ?? "?"
          })
    }
  }

  /// Runs the model; also returns the library's report of the run.
  func run(
    _ inputs: [LibraryTensor], outputs: [String], options: LibraryOptions
  ) throws(Failure) -> (tensors: [LibraryTensor], report: JSON) {
    // The views point into memory that must stay put during the call.
    var blocks: [UnsafeMutableRawPointer] = []
    defer { for block in blocks { block.deallocate() } }
    func copy(_ bytes: UnsafeRawBufferPointer) -> UnsafeMutableRawPointer {
      let block = UnsafeMutableRawPointer.allocate(byteCount: max(bytes.count, 1), alignment: 64)
      if let base = bytes.baseAddress { block.copyMemory(from: base, byteCount: bytes.count) }
      blocks.append(block)
      return block
    }
    func copy(_ text: String) -> UnsafePointer<CChar> {
      let bytes = Array(text.utf8) + [0]
      return UnsafePointer(bytes.withUnsafeBytes { copy($0) }.assumingMemoryBound(to: CChar.self))
    }
    let views = inputs.map { input in
      var view = adadiff_tensor()
      view.struct_size = MemoryLayout<adadiff_tensor>.stride
      view.name = copy(input.name)
      view.type = input.type.rawValue
      view.rank = Int32(clamping: input.shape.count)
      let dims = input.shape.map(Int64.init)
      view.dims = UnsafePointer(dims.withUnsafeBytes { copy($0) }.assumingMemoryBound(to: Int64.self))
      view.data = input.bytes.withUnsafeBytes { copy($0) }
      view.byte_count = input.bytes.count
      return view
    }
    let names: [UnsafePointer<CChar>?] = outputs.map { copy($0) }
    let tensors = try LibraryCall.make {
      adadiff_model_run(
        handle, views, Int32(clamping: views.count), names.isEmpty ? nil : names, Int32(clamping: names.count),
        options.handle, $0, $1)
    }
    let report = (try? LibraryCall.json(adadiff_tensors_report(tensors))) ?? .null
    return (try LibraryTensor.all(of: tensors), report)
  }
}
