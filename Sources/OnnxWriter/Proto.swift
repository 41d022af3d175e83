/// Bytes of a protobuf message, written field by field.
public struct Proto: Sendable {
  public private(set) var bytes: [UInt8] = []

  public init() {}

  public init(_ write: (inout Proto) -> Void) { write(&self) }

  public mutating func int(_ field: Int, _ value: Int) {
    key(field, wireType: 0)
    varint(UInt64(bitPattern: Int64(value)))
  }

  public mutating func float(_ field: Int, _ value: Float) {
    key(field, wireType: 5)
    withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += $0 }
  }

  public mutating func data(_ field: Int, _ value: [UInt8]) {
    key(field, wireType: 2)
    varint(UInt64(value.count))
    bytes += value
  }

  public mutating func string(_ field: Int, _ value: String) { data(field, Array(value.utf8)) }
  public mutating func message(_ field: Int, _ value: Proto) { data(field, value.bytes) }

  private mutating func key(_ field: Int, wireType: Int) { varint(UInt64(field << 3 | wireType)) }

  private mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7f) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}
