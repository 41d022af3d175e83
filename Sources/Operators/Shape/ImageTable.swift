/// Operators on images, boxes and text.
let imageOperators: [OperatorEntry] = [
  OperatorEntry("Resize", versions: 10...99) { try Resize($0) },
  OperatorEntry("Upsample") { try Resize(upsample: $0) },
  OperatorEntry("GridSample", versions: 16...99) { try GridSample($0) },
  OperatorEntry("AffineGrid", versions: 20...99) { try AffineGrid($0) },
  OperatorEntry("RoiAlign", versions: 10...99) { try RoiAlign($0) },
  OperatorEntry(dynamic: "NonMaxSuppression", versions: 10...99) { try NonMaxSuppression($0) },
  OperatorEntry("StringConcat", versions: 20...99) { _ in StringConcat() },
  OperatorEntry(dynamic: "StringSplit", versions: 20...99) { try StringSplit($0) },
  OperatorEntry(dynamic: "StringNormalizer", versions: 10...99) { try StringNormalizer($0) },
  OperatorEntry("RegexFullMatch", versions: 20...99) { try RegexFullMatch($0) },
  OperatorEntry("TfIdfVectorizer", versions: 9...99) { try TfIdfVectorizer($0) },
]
