/// Compression for PNG (RFC 1950, 1951): one block with the fixed codes, matches found through a hash of three bytes.
enum Deflate {
  private static let windowSize = 32768
  private static let hashBits = 15
  private static let longestMatch = 258
  private static let shortestMatch = 3

  /// Base length and extra bits of the length symbols 257…285.
  private static let lengths: [(base: Int, bits: Int)] = [
    (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (11, 1), (13, 1), (15, 1), (17, 1), (19, 2),
    (23, 2), (27, 2), (31, 2), (35, 3), (43, 3), (51, 3), (59, 3), (67, 4), (83, 4), (99, 4), (115, 4), (131, 5),
    (163, 5), (195, 5), (227, 5), (258, 0),
  ]

  /// Base distance and extra bits of the distance symbols 0…29.
  private static let distances: [(base: Int, bits: Int)] = (0..<30).map { symbol in
    let bits = max(0, symbol / 2 - 1)
    return symbol < 4 ? (symbol + 1, 0) : (1 + (2 + symbol % 2) << bits, bits)
  }

  static func zlib(_ bytes: [UInt8]) -> [UInt8] {
    // 32 KiB window, default level, header checksum.
    var writer = BitWriter(output: [0x78, 0x9C])
    writer.write(1, bits: 1)
    writer.write(1, bits: 2)
    compress(bytes, &writer)
    write(symbol: 256, &writer)
    writer.flush()
    return writer.output + PNG.bigEndian(adler32(bytes))
  }

  private static func compress(_ bytes: [UInt8], _ writer: inout BitWriter) {
    var last = [Int](repeating: -1, count: 1 << hashBits)
    var position = 0
    while position < bytes.count {
      var length = 0
      var distance = 0
      if position + shortestMatch <= bytes.count {
        let slot = hash(bytes, position)
        let candidate = last[slot]
        last[slot] = position
        if candidate >= 0, position - candidate <= windowSize {
          let limit = min(longestMatch, bytes.count - position)
          while length < limit, bytes[candidate + length] == bytes[position + length] { length += 1 }
          distance = position - candidate
        }
      }
      guard length >= shortestMatch else {
        write(symbol: Int(bytes[position]), &writer)
        position += 1
        continue
      }
      writeMatch(length: length, distance: distance, &writer)
      for skipped in position + 1..<position + length where skipped + shortestMatch <= bytes.count {
        last[hash(bytes, skipped)] = skipped
      }
      position += length
    }
  }

  private static func hash(_ bytes: [UInt8], _ position: Int) -> Int {
    let value = UInt32(bytes[position]) | UInt32(bytes[position + 1]) << 8 | UInt32(bytes[position + 2]) << 16
    return Int((value &* 0x9E37_79B1) >> UInt32(32 - hashBits))
  }

  private static func writeMatch(length: Int, distance: Int, _ writer: inout BitWriter) {
    let lengthSymbol = lengths.lastIndex { $0.base <= length } ?? 0
    write(symbol: 257 + lengthSymbol, &writer)
    writer.write(length - lengths[lengthSymbol].base, bits: lengths[lengthSymbol].bits)
    let distanceSymbol = distances.lastIndex { $0.base <= distance } ?? 0
    writer.writeReversed(distanceSymbol, bits: 5)
    writer.write(distance - distances[distanceSymbol].base, bits: distances[distanceSymbol].bits)
  }

  /// The fixed code of RFC 1951, 3.2.6.
  private static func write(symbol: Int, _ writer: inout BitWriter) {
    switch symbol {
    case 0...143: writer.writeReversed(0x30 + symbol, bits: 8)
    case 144...255: writer.writeReversed(0x190 + symbol - 144, bits: 9)
    case 256...279: writer.writeReversed(symbol - 256, bits: 7)
    default: writer.writeReversed(0xC0 + symbol - 280, bits: 8)
    }
  }

  private static func adler32(_ bytes: [UInt8]) -> UInt32 {
    var (a, b): (UInt32, UInt32) = (1, 0)
    for byte in bytes {
      a = (a + UInt32(byte)) % 65521
      b = (b + a) % 65521
    }
    return b << 16 | a
  }

  /// Bits, least significant first.
  private struct BitWriter {
    var output: [UInt8]
    private var pending: UInt64 = 0
    private var count = 0

    init(output: [UInt8]) { self.output = output }

    mutating func write(_ value: Int, bits: Int) {
      pending |= UInt64(value) << UInt64(count)
      count += bits
      while count >= 8 {
        output.append(UInt8(truncatingIfNeeded: pending))
        pending >>= 8
        count -= 8
      }
    }

    /// Codes stand most significant bit first.
    mutating func writeReversed(_ value: Int, bits: Int) {
      var reversed = 0
      for bit in 0..<bits where value >> bit & 1 == 1 { reversed |= 1 << (bits - 1 - bit) }
      write(reversed, bits: bits)
    }

    mutating func flush() {
      if count > 0 { write(0, bits: 8 - count) }
    }
  }
}
