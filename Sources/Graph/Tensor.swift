import Glibc
import Support

/// A contiguous row-major tensor over reference-counted memory.
///
/// Memory is owned by `owner` (heap block, mapped file, arena, host buffer kept alive by the caller). 64-byte aligned
/// when allocated here; tensors over mapped files may have any alignment, so element access uses `loadUnaligned` or the
/// loader copies. String tensors keep their elements in `strings`; `bytes` is then empty.
/// Sharing rule: a tensor's bytes are written only by the operator that produces it; readers may run on any thread.
public struct Tensor: @unchecked Sendable {
  public var type: DataType
  public var shape: [Int]
  public private(set) var bytes: UnsafeMutableRawBufferPointer
  public private(set) var owner: AnyObject?
  private var stringBlock: StringBlock?

  /// Elements of a string tensor; empty for every other type. Shared by copies of the tensor, like `bytes`.
  public var strings: [String] {
    get { stringBlock?.elements ?? [] }
    nonmutating set { stringBlock?.elements = newValue }
  }

  /// Number of elements (product of `shape`, 1 for a scalar).
  public var count: Int { shape.reduce(1, *) }
  public var rank: Int { shape.count }

  /// A view on memory that `owner` keeps alive. `bytes.count` must be `type.byteCount(count)`.
  public init(type: DataType, shape: [Int], bytes: UnsafeMutableRawBufferPointer, owner: AnyObject?) {
    self.type = type
    self.shape = shape
    self.bytes = bytes
    self.owner = owner
    stringBlock = type == .string ? StringBlock() : nil
  }

  /// Fresh, uninitialised memory (string tensors: empty strings). Throws on overflow and out of memory.
  public init(type: DataType, shape: [Int]) throws(Failure) {
    let count = try CheckedSize.product(shape, of: "tensor shape")
    if type == .string {
      guard count <= 1 << 28 else { throw Failure(.outOfMemory, "string tensor of shape \(shape) is too large") }
      self.init(type: type, shape: shape, bytes: .init(start: nil, count: 0), owner: nil)
      strings = Array(repeating: "", count: count)
      return
    }
    let block = try HeapBlock(byteCount: type.byteCount(count))
    self.init(type: type, shape: shape, bytes: block.bytes, owner: block)
  }

  public init(strings: [String], shape: [Int]) {
    self.init(type: .string, shape: shape, bytes: .init(start: nil, count: 0), owner: nil)
    self.strings = strings
  }

  /// Copies `values`; `Element` must have the layout of `type` (Int64 for int64, Float for float32, UInt8 or Bool for bool).
  public init<Element: BitwiseCopyable>(type: DataType, shape: [Int], values: [Element]) throws(Failure) {
    try self.init(type: type, shape: shape)
    guard bytes.count == values.count * MemoryLayout<Element>.stride else {
      throw Failure(.internalError, "\(values.count) values do not fill a \(type) tensor of shape \(shape)")
    }
    values.withUnsafeBytes { bytes.copyMemory(from: $0) }
  }

  public init(int64 values: [Int64]) throws(Failure) {
    try self.init(type: .int64, shape: [values.count], values: values)
  }

  /// Typed start of the memory. The caller has checked `type` and alignment.
  @inlinable
  public func pointer<Element: BitwiseCopyable>(_: Element.Type = Element.self) -> UnsafeMutablePointer<Element> {
    // swift-format-ignore: NeverForceUnwrap
    bytes.baseAddress.map { $0.assumingMemoryBound(to: Element.self) } ?? UnsafeMutablePointer(bitPattern: 64)!
  }

  @inlinable
  public func buffer<Element: BitwiseCopyable>(_: Element.Type = Element.self) -> UnsafeMutableBufferPointer<Element> {
    UnsafeMutableBufferPointer(start: pointer(Element.self), count: count)
  }

  /// The same memory under another shape with the same number of elements (checked by the caller).
  public func reshaped(_ shape: [Int]) -> Tensor {
    var copy = self
    copy.shape = shape
    return copy
  }

  /// Elements of an integer or bool tensor (shapes, axes, indices) as Int, for control decisions, not for data.
  public func integers() throws(Failure) -> [Int] {
    switch type {
    case .int64: return buffer(Int64.self).map { Int($0) }
    case .int32: return buffer(Int32.self).map { Int($0) }
    case .int16: return buffer(Int16.self).map { Int($0) }
    case .int8: return buffer(Int8.self).map { Int($0) }
    case .uint8, .bool: return buffer(UInt8.self).map { Int($0) }
    case .uint16: return buffer(UInt16.self).map { Int($0) }
    case .uint32: return buffer(UInt32.self).map { Int($0) }
    case .uint64: return buffer(UInt64.self).map { Int(clamping: $0) }
    default: throw Failure(.typeMismatch, "an integer tensor is required", actual: type.name)
    }
  }
}

/// The elements of a string tensor, written only by the operator that produces it.
private final class StringBlock: @unchecked Sendable {
  var elements: [String] = []
}

/// 64-byte aligned heap memory freed with its last reference. Large blocks ask for huge pages: a matrix product walks
/// hundreds of rows at once, each on a page of its own.
public final class HeapBlock: @unchecked Sendable {
  public let bytes: UnsafeMutableRawBufferPointer
  private static let hugePage = 2 << 20

  public init(byteCount: Int) throws(Failure) {
    var address: UnsafeMutableRawPointer?
    let alignment = byteCount >= 2 * Self.hugePage ? Self.hugePage : 64
    guard byteCount >= 0, posix_memalign(&address, alignment, max(byteCount, 64)) == 0, let address else {
      throw Failure(.outOfMemory, "cannot allocate \(byteCount) bytes")
    }
    // The end of the block keeps small pages, so that no memory is added.
    if alignment == Self.hugePage { madvise(address, byteCount / Self.hugePage * Self.hugePage, MADV_HUGEPAGE) }
    bytes = UnsafeMutableRawBufferPointer(start: address, count: byteCount)
  }

  deinit { free(bytes.baseAddress) }
}
