import Support

/// What pictures of every prompt at every number of steps were worth.
///
/// A CSV file with a header line and one row per picture. Columns, in any order:
///
///     prompt   text
///     seed     whole number; the initial noise of the row; may be absent (then 0)
///     steps    number of sampling steps
///     ms       milliseconds the picture took; may be absent
///     group    a name for the kind of prompt; may be absent
///     others   one quality metric each, finite numbers, larger is better
///
/// Every prompt has, for each of its seeds, one row for every number of steps of the table.
public struct RewardTable: Sendable {
  /// One prompt with one initial noise: a row per number of steps.
  public struct Unit: Sendable, Equatable {
    public var prompt: Int
    public var seed: Int
  }

  public var prompts: [String] = []
  /// One per prompt; "" without the column.
  public var groups: [String] = []
  /// Ascending.
  public var stepSet: [Int] = []
  public var units: [Unit] = []
  /// By metric: (units × step counts), row-major.
  public var metrics: [String: [Double]] = [:]
  /// In the file's order.
  public var metricNames: [String] = []
  /// (units × step counts); nil without the column.
  public var milliseconds: [Double]?

  public init() {}

  static let namedColumns = ["prompt", "seed", "steps", "ms", "group"]

  /// Units of every prompt, in the table's order.
  public var unitsOfPrompt: [[Int]] {
    var result = [[Int]](repeating: [], count: prompts.count)
    for (index, unit) in units.enumerated() { result[unit.prompt].append(index) }
    return result
  }

  /// A metric's mean over the seeds of each prompt, (prompts × step counts).
  public func promptMeans(_ values: [Double]) -> [[Double]] {
    unitsOfPrompt.map { members in
      stepSet.indices.map { choice in
        members.reduce(0) { $0 + values[$1 * stepSet.count + choice] } / Double(max(1, members.count))
      }
    }
  }

  public init(file: String) throws(Failure) {
    let mapped = try MappedFile(path: file)
    defer { withExtendedLifetime(mapped) {} }
    try self.init(bytes: mapped.bytes, file: file)
  }

  init(bytes: UnsafeRawBufferPointer, file: String) throws(Failure) {
    var reader = CSVReader(bytes: bytes, file: file)
    let rows = try TableRows(&reader, file: file)
    stepSet = Set(rows.rows.map(\.steps)).sorted()
    guard stepSet.count >= 2 else {
      throw Failure(
        .corrupt, "a reward table needs at least two numbers of steps", component: "table", file: file,
        actual: "\(stepSet)")
    }
    try assemble(rows, file: file)
  }

  private mutating func assemble(_ table: TableRows, file: String) throws(Failure) {
    func bad(_ message: String, _ row: TableRows.Row) -> Failure {
      Failure(
        .corrupt, "line \(row.line): \(message) for '\(row.prompt.prefix(80))', seed \(row.seed)", component: "table",
        file: file)
    }
    var promptIndex: [String: Int] = [:]
    var unitIndex: [UnitKey: Int] = [:]
    let position = Dictionary(uniqueKeysWithValues: stepSet.enumerated().map { ($1, $0) })
    var present: [Bool] = []
    metricNames = table.metricNames
    var columns = [[Double]](repeating: [], count: metricNames.count)
    var times: [Double] = []
    for row in table.rows {
      let prompt = promptIndex[row.prompt] ?? prompts.count
      if prompt == prompts.count {
        promptIndex[row.prompt] = prompt
        prompts.append(row.prompt)
        groups.append(row.group)
      }
      let key = UnitKey(prompt: prompt, seed: row.seed)
      let unit = unitIndex[key] ?? units.count
      if unit == units.count {
        unitIndex[key] = unit
        units.append(Unit(prompt: prompt, seed: row.seed))
        present += Array(repeating: false, count: stepSet.count)
        for index in columns.indices { columns[index] += Array(repeating: .nan, count: stepSet.count) }
        times += Array(repeating: .nan, count: stepSet.count)
      }
      guard let choice = position[row.steps] else { continue }
      let place = unit * stepSet.count + choice
      guard !present[place] else { throw bad("a second row with \(row.steps) steps", row) }
      present[place] = true
      for (index, value) in row.values.enumerated() { columns[index][place] = value }
      times[place] = row.milliseconds ?? .nan
    }
    if let gap = present.firstIndex(of: false) {
      let unit = units[gap / stepSet.count]
      throw Failure(
        .corrupt,
        "there is no row with \(stepSet[gap % stepSet.count]) steps for '\(prompts[unit.prompt].prefix(80))', "
          + "seed \(unit.seed)", component: "table", file: file,
        expected: "every prompt and seed at the steps \(stepSet)")
    }
    metrics = Dictionary(uniqueKeysWithValues: zip(metricNames, columns))
    milliseconds = table.hasTimes ? times : nil
  }

  private struct UnitKey: Hashable {
    var prompt: Int
    var seed: Int
  }
}

/// The rows of a table file, each checked for itself.
struct TableRows {
  struct Row {
    var line: Int
    var prompt: String
    var group: String
    var seed: Int
    var steps: Int
    var milliseconds: Double?
    var values: [Double]
  }

  private(set) var rows: [Row] = []
  private(set) var metricNames: [String] = []
  private(set) var hasTimes = false
  private(set) var header: [String] = []

  /// `allowsNothing`: a file with no rows is a table that collection has just begun.
  init(_ reader: inout CSVReader, file: String, allowsNothing: Bool = false) throws(Failure) {
    guard let header = try reader.next() else {
      throw Failure(.corrupt, "the table is empty", component: "table", file: file, expected: "a header line")
    }
    self.header = header
    guard Set(header).count == header.count, !header.contains("") else {
      throw reader.failure("columns need different names that are not empty", actual: header.joined(separator: ","))
    }
    guard let prompt = header.firstIndex(of: "prompt"), let steps = header.firstIndex(of: "steps") else {
      throw reader.failure("the columns 'prompt' and 'steps' are required", actual: header.joined(separator: ","))
    }
    let (seed, ms) = (header.firstIndex(of: "seed"), header.firstIndex(of: "ms"))
    let group = header.firstIndex(of: "group")
    let metrics = header.indices.filter { !RewardTable.namedColumns.contains(header[$0]) }
    metricNames = metrics.map { header[$0] }
    hasTimes = ms != nil
    guard !metrics.isEmpty else {
      throw reader.failure("a table needs a column with a quality metric", actual: header.joined(separator: ","))
    }
    while let fields = try reader.next() {
      guard fields.count == header.count else {
        throw reader.failure(
          "another number of fields than the header", expected: "\(header.count)", actual: "\(fields.count)")
      }
      func number(_ index: Int) throws(Failure) -> Double {
        guard let value = Double(fields[index]) else {
          throw reader.failure("'\(header[index])' is not a number", actual: "'\(fields[index].prefix(40))'")
        }
        guard value.isFinite else {
          throw Failure(
            .notFinite, "line \(reader.line): '\(header[index])' must be finite", component: "table", file: file,
            actual: fields[index])
        }
        return value
      }
      guard let count = Int(fields[steps]), (1...1000).contains(count) else {
        throw reader.failure(
          "'steps' is not a number of steps", expected: "1…1000", actual: "'\(fields[steps].prefix(40))'")
      }
      var seedValue = 0
      if let seed {
        guard let value = Int(fields[seed]), value >= 0 else {
          throw reader.failure("'seed' is not a whole number from 0", actual: "'\(fields[seed].prefix(40))'")
        }
        seedValue = value
      }
      var values: [Double] = []
      for index in metrics { values.append(try number(index)) }
      let time: Double? = if let ms { try number(ms) } else { nil }
      rows.append(
        Row(
          line: reader.line, prompt: fields[prompt], group: group.map { fields[$0] } ?? "", seed: seedValue,
          steps: count, milliseconds: time, values: values))
    }
    guard allowsNothing || !rows.isEmpty else { throw reader.failure("the table has no rows") }
  }
}
