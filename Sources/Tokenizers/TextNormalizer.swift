@_spi(_Unicode) import Swift

/// The text as Hugging Face's fast CLIP tokenizer normalises it: canonical composition (NFC), every run of white space
/// to one space, then each scalar in lower case on its own (so a final capital sigma becomes σ, not ς).
///
/// Lower case follows the Unicode version of Swift's standard library (17.0 in Swift 6.3), the same as tokenizers 0.23.
/// Composition follows Unicode 9.0, as there: marks assigned later neither compose nor change places.
enum TextNormalizer {
  /// The Unicode version whose combining classes and compositions tokenizers 0.23 knows.
  private static let newestComposition = 9

  static func normalize(_ text: some Collection<Unicode.Scalar>) -> [Unicode.Scalar] {
    var output: [Unicode.Scalar] = []
    output.reserveCapacity(text.count)
    // Below the combining marks at U+0300 every text is already composed.
    if text.allSatisfy({ $0.value < 0x300 }) {
      for scalar in text { append(scalar, to: &output) }
    } else {
      var known = String.UnicodeScalarView()
      func flush() {
        for scalar in String(known)._nfc { append(scalar, to: &output) }
        known = String.UnicodeScalarView()
      }
      for scalar in text {
        if scalar.value >= 0x300, let age = scalar.properties.age, age.major > newestComposition {
          flush()
          append(scalar, to: &output)
        } else {
          known.append(scalar)
        }
      }
      flush()
    }
    return output
  }

  private static func append(_ scalar: Unicode.Scalar, to output: inout [Unicode.Scalar]) {
    if scalar.value < 0x80 {
      switch scalar.value {
      case 0x41...0x5A: output.append(Unicode.Scalar(UInt8(scalar.value + 0x20)))
      case 0x09...0x0D, 0x20: appendSpace(to: &output)
      default: output.append(scalar)
      }
    } else if scalar.properties.isWhitespace {
      appendSpace(to: &output)
    } else {
      output.append(contentsOf: scalar.properties.lowercaseMapping.unicodeScalars)
    }
  }

  private static func appendSpace(to output: inout [Unicode.Scalar]) {
    if output.last != " " { output.append(" ") }
  }
}
