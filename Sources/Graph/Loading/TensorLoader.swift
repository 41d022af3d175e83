import COnnx
import Support

/// Turns TensorProtos into tensors: raw data, typed fields, external data and sparse tensors, every element type.
struct TensorLoader {
  let file: ModelFile
  let external: ExternalData

  /// Inline tensors from this size on keep the protobuf's memory instead of copying it.
  static let viewByteCount = 1 << 16

  /// `name`: how errors call the tensor.
  func tensor(_ proto: OpaquePointer, name: String) throws -> Tensor {
    let rawType = connx_tensor_data_type(proto)
    guard let type = DataType(rawValue: rawType) else {
      throw Failure(
        rawType == 0 ? .corrupt : .unsupported, "tensor '\(name)' has element type \(rawType), which is not known")
    }
    guard !connx_tensor_has_segment(proto) else {
      throw Failure(.unsupported, "tensor '\(name)' is stored in segments")
    }
    let shape = try Self.shape(connx_tensor_dims(proto), name: name)
    let count = try CheckedSize.product(shape, of: "shape of tensor '\(name)'")
    if connx_tensor_is_external(proto) {
      return try externalTensor(proto, type: type, shape: shape, count: count, name: name)
    }
    if type == .string { return try stringTensor(proto, shape: shape, count: count, name: name) }
    if connx_tensor_has_raw_data(proto) {
      let raw = connx_tensor_raw_data(proto).bytes
      guard raw.count == type.byteCount(count) else { throw wrongSize(name, type, shape, "\(raw.count) bytes") }
      return try adopted(UnsafeMutableRawBufferPointer(mutating: raw), owner: file, type: type, shape: shape)
    }
    return try typedTensor(proto, type: type, shape: shape, count: count, name: name)
  }

  /// A sparse tensor as a dense one.
  func dense(_ proto: OpaquePointer, name: String) throws -> Tensor {
    guard let valuesProto = connx_sparse_values(proto), let indicesProto = connx_sparse_indices(proto) else {
      throw Failure(.corrupt, "sparse tensor '\(name)' has no values or indices")
    }
    let values = try tensor(valuesProto, name: name)
    let indices = try tensor(indicesProto, name: name + " (indices)")
    let shape = try Self.shape(connx_sparse_dims(proto), name: name)
    guard values.type.bitWidth >= 8, values.rank == 1, indices.type == .int64 else {
      throw Failure(.unsupported, "sparse tensor '\(name)' of \(values.type) values and \(indices.type) indices")
    }
    guard indices.shape == [values.count] || indices.shape == [values.count, shape.count] else {
      throw Failure(.corrupt, "sparse tensor '\(name)' has indices of shape \(indices.shape)")
    }
    let result = try Tensor(type: values.type, shape: shape)
    result.bytes.initializeMemory(as: UInt8.self, repeating: 0)
    let width = values.type.bitWidth / 8
    let total = result.count
    let positions = indices.buffer(Int64.self)
    for i in 0..<values.count {
      var flat = 0
      if indices.rank == 1 {
        flat = Int(positions[i])
      } else {
        for axis in 0..<shape.count {
          let position = Int(positions[i * shape.count + axis])
          guard (0..<shape[axis]).contains(position) else {
            throw Failure(.corrupt, "sparse tensor '\(name)' has an index outside its shape \(shape)")
          }
          flat = flat * shape[axis] + position
        }
      }
      guard (0..<total).contains(flat) else {
        throw Failure(.corrupt, "sparse tensor '\(name)' has an index outside its shape \(shape)")
      }
      UnsafeMutableRawBufferPointer(rebasing: result.bytes[flat * width..<(flat + 1) * width])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: values.bytes[i * width..<(i + 1) * width]))
    }
    return result
  }

  static func shape(_ dims: connx_array, name: String) throws -> [Int] {
    let shape = dims.elements(as: Int64.self).map { Int($0) }
    guard shape.count <= 64 else { throw Failure(.unsupported, "tensor '\(name)' has \(shape.count) dimensions") }
    guard shape.allSatisfy({ $0 >= 0 }) else {
      throw Failure(.corrupt, "tensor '\(name)' has a negative dimension", actual: "\(shape)")
    }
    return shape
  }

  private func externalTensor(
    _ proto: OpaquePointer, type: DataType, shape: [Int], count: Int, name: String
  ) throws -> Tensor {
    guard type != .string else { throw Failure(.corrupt, "string tensor '\(name)' cannot be external data") }
    var location: String?
    var offset = 0
    var length: Int?
    for index in 0..<connx_tensor_external_count(proto) {
      let key = try connx_tensor_external_key(proto, index).string("external data key of tensor '\(name)'")
      let value = try connx_tensor_external_value(proto, index).string("external data of tensor '\(name)'")
      switch key {
      case "location": location = value
      case "offset", "length":
        guard let number = Int(value), number >= 0 else {
          throw Failure(.corrupt, "tensor '\(name)' has external data \(key) '\(value)'")
        }
        if key == "offset" { offset = number } else { length = number }
      default: break
      }
    }
    guard let location else { throw Failure(.corrupt, "tensor '\(name)' names no external data file") }
    do {
      let (bytes, mapping) = try external.bytes(
        location: location, offset: offset, length: length, required: type.byteCount(count))
      return try adopted(bytes, owner: mapping, type: type, shape: shape)
    } catch let failure as Failure {
      var named = failure
      named.message = "tensor '\(name)': \(failure.message)"
      throw named
    }
  }

  /// A tensor over memory that `owner` keeps alive; copied when small, misaligned or not in canonical form.
  private func adopted(
    _ bytes: UnsafeMutableRawBufferPointer, owner: AnyObject, type: DataType, shape: [Int]
  ) throws -> Tensor {
    let alignment = min(8, max(1, type.bitWidth / 8))
    let aligned = Int(bitPattern: bytes.baseAddress) % alignment == 0
    let large = bytes.count >= Self.viewByteCount || (owner is MappedFile && bytes.count >= 4096)
    if type != .bool, aligned, large {
      return Tensor(type: type, shape: shape, bytes: bytes, owner: owner)
    }
    let copy = try Tensor(type: type, shape: shape)
    copy.bytes.copyMemory(from: UnsafeRawBufferPointer(bytes))
    if type == .bool { for i in 0..<copy.bytes.count where copy.bytes[i] > 1 { copy.bytes[i] = 1 } }
    return copy
  }

  private func stringTensor(_ proto: OpaquePointer, shape: [Int], count: Int, name: String) throws -> Tensor {
    let stored = connx_tensor_string_count(proto)
    guard stored == count else { throw wrongSize(name, .string, shape, "\(stored) strings") }
    let strings = try (0..<stored).map { try connx_tensor_string(proto, $0).string("a string of tensor '\(name)'") }
    return Tensor(strings: strings, shape: shape)
  }

  private func typedTensor(
    _ proto: OpaquePointer, type: DataType, shape: [Int], count: Int, name: String
  ) throws -> Tensor {
    func check(_ stored: Int, _ needed: Int) throws {
      guard stored == needed else { throw wrongSize(name, type, shape, "\(stored) stored values") }
    }
    /// Copies `perElement` stored values for every element.
    func copied<Stored: BitwiseCopyable>(_ array: connx_array, _: Stored.Type, perElement: Int = 1) throws -> Tensor {
      let stored = array.elements(as: Stored.self)
      try check(stored.count, count * perElement)
      let result = try Tensor(type: type, shape: shape)
      result.bytes.copyMemory(from: UnsafeRawBufferPointer(stored))
      return result
    }
    /// Keeps the low bits of every stored value.
    func narrowed<Stored: FixedWidthInteger & BitwiseCopyable, Element: FixedWidthInteger & BitwiseCopyable>(
      _ array: connx_array, _: Stored.Type, _: Element.Type, needed: Int
    ) throws -> Tensor {
      let stored = array.elements(as: Stored.self)
      try check(stored.count, needed)
      let result = try Tensor(type: type, shape: shape)
      let target: UnsafeMutablePointer<Element> = result.pointer()
      for i in 0..<needed { target[i] = Element(truncatingIfNeeded: stored[i]) }
      return result
    }
    let int32 = connx_tensor_int32_data(proto)
    switch type {
    case .float32: return try copied(connx_tensor_float_data(proto), Float.self)
    case .complex64: return try copied(connx_tensor_float_data(proto), Float.self, perElement: 2)
    case .float64: return try copied(connx_tensor_double_data(proto), Double.self)
    case .complex128: return try copied(connx_tensor_double_data(proto), Double.self, perElement: 2)
    case .int64: return try copied(connx_tensor_int64_data(proto), Int64.self)
    case .uint64: return try copied(connx_tensor_uint64_data(proto), UInt64.self)
    case .uint32: return try narrowed(connx_tensor_uint64_data(proto), UInt64.self, UInt32.self, needed: count)
    case .int32: return try copied(int32, Int32.self)
    case .int16, .uint16, .float16, .bfloat16: return try narrowed(int32, Int32.self, UInt16.self, needed: count)
    case .int8, .uint8, .float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz, .float8e8m0:
      return try narrowed(int32, Int32.self, UInt8.self, needed: count)
    case .int4, .uint4, .float4e2m1, .int2, .uint2:
      return try narrowed(int32, Int32.self, UInt8.self, needed: type.byteCount(count))
    case .bool:
      let result = try narrowed(int32, Int32.self, UInt8.self, needed: count)
      for i in 0..<count where result.bytes[i] > 1 { result.bytes[i] = 1 }
      return result
    case .string: return try stringTensor(proto, shape: shape, count: count, name: name)
    }
  }

  private func wrongSize(_ name: String, _ type: DataType, _ shape: [Int], _ actual: String) -> Failure {
    Failure(
      .corrupt, "tensor '\(name)' does not hold as many elements as its shape says", expected: "\(type.name) \(shape)",
      actual: actual)
  }
}
