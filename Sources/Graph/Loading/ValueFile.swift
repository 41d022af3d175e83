import COnnx
import Support

/// A tensor, sequence or optional stored in a protobuf file of its own (ONNX's test data).
public indirect enum StoredValue: Sendable {
  case tensor(Tensor)
  case sequence([StoredValue])
  case optional(StoredValue?)

  /// Reads the file at `path`; `type` says which message it holds.
  public static func read(path: String, as type: DeclaredType) throws -> StoredValue {
    let mapping = try MappedFile(path: path)
    // The parser holds only the mapping's address.
    defer { withExtendedLifetime(mapping) {} }
    let kind: connx_kind
    switch type {
    case .sequence: kind = CONNX_SEQUENCE
    case .optional: kind = CONNX_OPTIONAL
    default: kind = CONNX_TENSOR
    }
    // An empty TensorProto is an empty file, but no tensor at all.
    let file = try ModelFile(bytes: mapping.bytes, kind: kind, what: "an ONNX tensor, sequence or optional")
    let reader = StoredValueReader(loader: TensorLoader(file: file, external: ExternalData(folder: nil)))
    return try withExtendedLifetime(file) {
      switch type {
      case .sequence: try reader.sequence(connx_file_sequence(file.handle), depth: 0)
      case .optional: try reader.optional(connx_file_optional(file.handle), depth: 0)
      default: try reader.tensor(connx_file_tensor(file.handle))
      }
    }
  }
}

private struct StoredValueReader {
  let loader: TensorLoader

  func tensor(_ proto: OpaquePointer?) throws -> StoredValue {
    guard let proto else { throw Failure(.corrupt, "the file holds no tensor") }
    return .tensor(try loader.tensor(proto, name: try connx_tensor_name(proto).string("tensor name")))
  }

  func sequence(_ proto: OpaquePointer?, depth: Int) throws -> StoredValue {
    guard let proto, depth < 16 else { throw Failure(.corrupt, "the file holds no sequence") }
    let indices = 0..<connx_sequence_count(proto)
    switch connx_sequence_kind(proto) {
    case 1: return .sequence(try indices.map { try tensor(connx_sequence_tensor(proto, $0)) })
    case 3: return .sequence(try indices.map { try sequence(connx_sequence_sequence(proto, $0), depth: depth + 1) })
    case 5: return .sequence(try indices.map { try optional(connx_sequence_optional(proto, $0), depth: depth + 1) })
    case 0: return .sequence([])
    default: throw Failure(.unsupported, "a sequence of maps or sparse tensors")
    }
  }

  func optional(_ proto: OpaquePointer?, depth: Int) throws -> StoredValue {
    guard let proto, depth < 16 else { throw Failure(.corrupt, "the file holds no optional") }
    switch connx_optional_kind(proto) {
    case 1: return .optional(try connx_optional_tensor(proto).map { try tensor($0) })
    case 3: return .optional(try connx_optional_sequence(proto).map { try sequence($0, depth: depth + 1) })
    case 0: return .optional(nil)
    default: throw Failure(.unsupported, "an optional of a map or sparse tensor")
    }
  }
}
