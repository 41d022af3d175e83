import Support

/// A regular expression in RE2's syntax, run in time linear in the text (Thompson, 1968): no pattern can make it hang.
///
/// Supported: literals, `.`, classes, `\d \w \s \b` and their negations, groups, `|`, `* + ? {m,n}`, `^ $`. Anything
/// else (flags, back-references, look-around, Unicode properties) is refused when the expression is made.
struct RegularExpression: Sendable {
  /// Scalars that one character of the text must be in, or outside of.
  fileprivate struct Characters: Sendable {
    var ranges: [ClosedRange<UInt32>]
    var isNegated = false

    func contains(_ scalar: UInt32) -> Bool { ranges.contains { $0.contains(scalar) } != isNegated }

    static let digits = Characters(ranges: [48...57])
    static let words = Characters(ranges: [48...57, 65...90, 95...95, 97...122])
    static let spaces = Characters(ranges: [9...10, 12...13, 32...32])
    /// Everything but the end of a line.
    static let any = Characters(ranges: [10...10], isNegated: true)
  }

  private indirect enum Piece {
    case characters(Characters)
    case assertion(Assertion)
    case sequence([Piece])
    case choice([Piece])
    case repetition(Piece, ClosedRange<Int>)
    /// At least so many times.
    case unbounded(Piece, Int)
  }

  private enum Assertion { case start, end, boundary, noBoundary }

  private enum Instruction: Sendable {
    case characters(Characters)
    case assertion(Assertion)
    case split(Int, Int)
    case jump(Int)
    case match
  }

  private var program: [Instruction] = []

  /// The longest program: RE2 has similar limits.
  private static let instructionLimit = 20_000
  private static let nestingLimit = 200
  private static let repetitionLimit = 1_000

  init(_ pattern: String) throws(Failure) {
    var parser = Parser(pattern)
    let piece = try parser.choice(depth: 0)
    guard parser.isAtEnd else { throw parser.refused("an unmatched ')'") }
    try emit(piece)
    program.append(.match)
  }

  private mutating func emit(_ piece: Piece) throws(Failure) {
    guard program.count < Self.instructionLimit else {
      throw Failure(.unsupported, "the regular expression is too large")
    }
    switch piece {
    case .characters(let characters): program.append(.characters(characters))
    case .assertion(let assertion): program.append(.assertion(assertion))
    case .sequence(let pieces): for piece in pieces { try emit(piece) }
    case .choice(let pieces):
      var jumps: [Int] = []
      for piece in pieces.dropLast() {
        let split = program.count
        program.append(.match)
        try emit(piece)
        jumps.append(program.count)
        program.append(.match)
        program[split] = .split(split + 1, program.count)
      }
      if let last = pieces.last { try emit(last) }
      for jump in jumps { program[jump] = .jump(program.count) }
    case .repetition(let piece, let counts):
      for _ in 0..<counts.lowerBound { try emit(piece) }
      var splits: [Int] = []
      for _ in counts.lowerBound..<counts.upperBound {
        splits.append(program.count)
        program.append(.match)
        try emit(piece)
      }
      for split in splits { program[split] = .split(split + 1, program.count) }
    case .unbounded(let piece, let minimum):
      for _ in 0..<minimum { try emit(piece) }
      let split = program.count
      program.append(.match)
      try emit(piece)
      program.append(.jump(split))
      program[split] = .split(split + 1, program.count)
    }
  }

  /// True when the expression matches the whole text.
  func matchesWhole(_ text: String) -> Bool {
    let scalars = text.unicodeScalars.map(\.value)
    var current: [Int] = []
    var next: [Int] = []
    var seen = [Int](repeating: -1, count: program.count)
    add(0, at: 0, scalars, &current, &seen)
    for (position, scalar) in scalars.enumerated() {
      next.removeAll(keepingCapacity: true)
      for place in current {
        if case .characters(let characters) = program[place], characters.contains(scalar) {
          add(place + 1, at: position + 1, scalars, &next, &seen)
        }
      }
      swap(&current, &next)
      if current.isEmpty { return false }
    }
    return current.contains { if case .match = program[$0] { true } else { false } }
  }

  /// Adds a state and all that it reaches without reading; `seen` holds the position at which a state was last added.
  private func add(_ start: Int, at position: Int, _ text: [UInt32], _ states: inout [Int], _ seen: inout [Int]) {
    var waiting = [start]
    while let place = waiting.popLast() {
      guard seen[place] != position else { continue }
      seen[place] = position
      switch program[place] {
      case .jump(let target): waiting.append(target)
      case .split(let first, let second): waiting += [second, first]
      case .assertion(let assertion): if holds(assertion, at: position, text) { waiting.append(place + 1) }
      case .characters, .match: states.append(place)
      }
    }
  }

  private func holds(_ assertion: Assertion, at position: Int, _ text: [UInt32]) -> Bool {
    let before = position > 0 && Characters.words.contains(text[position - 1])
    let after = position < text.count && Characters.words.contains(text[position])
    switch assertion {
    case .start: return position == 0
    case .end: return position == text.count
    case .boundary: return before != after
    case .noBoundary: return before == after
    }
  }

  private struct Parser {
    private let scalars: [Unicode.Scalar]
    private let pattern: String
    private var position = 0

    init(_ pattern: String) {
      self.pattern = pattern
      scalars = Array(pattern.unicodeScalars)
    }

    var isAtEnd: Bool { position == scalars.count }
    private var head: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

    func refused(_ what: String) -> Failure {
      Failure(
        .unsupported, "the regular expression '\(pattern)' has \(what) at character \(position), which is not supported"
      )
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
      guard head == scalar else { return false }
      position += 1
      return true
    }

    mutating func choice(depth: Int) throws(Failure) -> Piece {
      guard depth < RegularExpression.nestingLimit else { throw refused("too many groups inside each other") }
      var pieces = [try sequence(depth: depth)]
      while take("|") { pieces.append(try sequence(depth: depth)) }
      return pieces.count == 1 ? pieces[0] : .choice(pieces)
    }

    private mutating func sequence(depth: Int) throws(Failure) -> Piece {
      var pieces: [Piece] = []
      while let head, head != "|", head != ")" {
        let piece = try atom(depth: depth)
        pieces.append(try repeated(piece))
      }
      return .sequence(pieces)
    }

    private mutating func repeated(_ piece: Piece) throws(Failure) -> Piece {
      var result = piece
      if take("*") {
        result = .unbounded(piece, 0)
      } else if take("+") {
        result = .unbounded(piece, 1)
      } else if take("?") {
        result = .repetition(piece, 0...1)
      } else if head == "{" {
        position += 1
        guard let low = number() else { throw refused("a '{' without a number") }
        if take(",") {
          if head == "}" {
            result = .unbounded(piece, low)
          } else {
            guard let high = number(), high >= low else { throw refused("a wrong repetition") }
            result = .repetition(piece, low...high)
          }
        } else {
          result = .repetition(piece, low...low)
        }
        guard take("}") else { throw refused("a wrong repetition") }
      } else {
        return piece
      }
      // Lazy repetitions match the same whole texts.
      _ = take("?")
      if let head, "*+?{".unicodeScalars.contains(head) { throw refused("a repeated repetition") }
      return result
    }

    private mutating func number() -> Int? {
      var value: Int?
      while let digit = head, digit.value >= 48, digit.value <= 57 {
        value = (value ?? 0) * 10 + Int(digit.value - 48)
        position += 1
        if value ?? 0 > RegularExpression.repetitionLimit { return nil }
      }
      return value
    }

    private mutating func atom(depth: Int) throws(Failure) -> Piece {
      guard let scalar = head else { throw refused("nothing") }
      position += 1
      switch scalar {
      case ".": return .characters(.any)
      case "^": return .assertion(.start)
      case "$": return .assertion(.end)
      case "[": return .characters(try characterClass())
      case "\\": return try escape()
      case "(":
        if take("?"), !take(":") { throw refused("a group that is not plain") }
        let piece = try choice(depth: depth + 1)
        guard take(")") else { throw refused("an open group") }
        return piece
      case "*", "+", "?", "{": throw refused("a repetition of nothing")
      default: return .characters(Characters(ranges: [scalar.value...scalar.value]))
      }
    }

    private mutating func escape() throws(Failure) -> Piece {
      guard let scalar = head else { throw refused("a single '\\'") }
      if scalar == "b" || scalar == "B" {
        position += 1
        return .assertion(scalar == "b" ? .boundary : .noBoundary)
      }
      return .characters(try escapedCharacters())
    }

    private mutating func escapedCharacters() throws(Failure) -> Characters {
      guard let scalar = head else { throw refused("a single '\\'") }
      position += 1
      func negated(_ characters: Characters) -> Characters { Characters(ranges: characters.ranges, isNegated: true) }
      switch scalar {
      case "d": return .digits
      case "D": return negated(.digits)
      case "w": return .words
      case "W": return negated(.words)
      case "s": return .spaces
      case "S": return negated(.spaces)
      case "n": return Characters(ranges: [10...10])
      case "r": return Characters(ranges: [13...13])
      case "t": return Characters(ranges: [9...9])
      default:
        guard scalar.isASCII, !scalar.properties.isAlphabetic, !(48...57).contains(scalar.value) else {
          throw refused("the escape '\\\(scalar)'")
        }
        return Characters(ranges: [scalar.value...scalar.value])
      }
    }

    private mutating func characterClass() throws(Failure) -> Characters {
      var ranges: [ClosedRange<UInt32>] = []
      let isNegated = take("^")
      var isFirst = true
      while let scalar = head, scalar != "]" || isFirst {
        isFirst = false
        position += 1
        var low: UInt32? = scalar.value
        if scalar == "\\" {
          let characters = try escapedCharacters()
          if characters.isNegated { throw refused("a negated class inside a class") }
          low = characters.ranges.count == 1 && characters.ranges[0].count == 1 ? characters.ranges[0].lowerBound : nil
          if low == nil { ranges += characters.ranges }
        } else if scalar == "[", head == ":" {
          throw refused("a named class")
        }
        guard let low else { continue }
        var high = low
        if head == "-", position + 1 < scalars.count, scalars[position + 1] != "]" {
          position += 1
          guard let end = head else { throw refused("an open class") }
          position += 1
          high = end.value
          if end == "\\" {
            let characters = try escapedCharacters()
            guard !characters.isNegated, characters.ranges.count == 1, characters.ranges[0].count == 1 else {
              throw refused("a wrong range")
            }
            high = characters.ranges[0].lowerBound
          }
        }
        guard low <= high else { throw refused("a wrong range") }
        ranges.append(low...high)
      }
      guard take("]") else { throw refused("an open class") }
      return Characters(ranges: ranges, isNegated: isNegated)
    }
  }
}
