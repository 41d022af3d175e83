import ArgumentParser
import Graph
import Support

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Show what is in a pipeline folder or an ONNX file, and whether it can run.",
    discussion: """
      For every ONNX file: size, inputs and outputs, operators with their counts, and each node that this version cannot \
      run. Memory is that of the weights; a run adds activations, which grow with the picture's size.

      The exit code is 69 when something is not supported, so that scripts can ask.

      EXAMPLES:
        adadiff inspect ./sd15-onnx
        adadiff inspect unet/model.onnx --json
        adadiff inspect unet/model.onnx --fusions --dim batch_size=2 \\
            --dim height=64 --dim width=64 --dim sequence_length=77
            What the plan for these shapes fuses, how its convolutions are computed, and why near misses stayed apart.
      """)

  @Argument(help: "Pipeline folder or ONNX file (default: the bundled pipeline).")
  var model: String?

  @Flag(help: "Show what fuses into one operator, and why near misses do not.")
  var fusions = false

  @Option(
    help: ArgumentHelp("With --fusions: size of a free dimension; repeatable (default 1).", valueName: "name=size"))
  var dim: [String] = []

  @Option(
    help: ArgumentHelp(
      "Precision to plan for and to estimate the memory of: float32, bfloat16 or int8 (default: float32).",
      valueName: "precision"))
  var precision: String?

  @OptionGroup(title: "Output") var outputOptions: OutputOptions

  func run() throws {
    let path = if let model { model } else { try BundledModel.folder() }
    guard Paths.exists(path) else { throw Failure(.notFound, "no such file or folder", file: path) }
    let index = Paths.join(path, "model_index.json")
    let isFolder = Paths.isFolder(path)
    let description = isFolder && Paths.exists(index) ? try JSON.parse(file: index) : JSON.null
    let files = isFolder ? InspectCommand.models(in: path) : [path]
    guard !files.isEmpty else { throw Failure(.notFound, "no ONNX file in the folder", file: path) }

    var inspections: [ModelInspection] = []
    let sizes = try DimensionSizes(dim)
    let precision = try InspectCommand.precision(precision ?? Precision.float32.rawValue)
    for file in files {
      // The components of a pipeline around its network take more than int8.
      let around = isFolder && !Paths.parent(file).hasSuffix("/unet")
      inspections.append(
        try ModelInspection(
          path: file, precision: precision, isAroundNetwork: around, fusionSizes: fusions ? sizes : nil))
    }
    if outputOptions.json {
      printJSON(path, description, inspections)
    } else {
      printText(path, description, inspections)
    }
    guard inspections.allSatisfy(\.canRun) else { throw ExitCode(ExitStatus.code(for: .unsupported)) }
  }

  private static func precision(_ name: String) throws(Failure) -> Precision {
    guard let precision = Precision(named: name) else {
      throw Failure(
        .unknownName, "unknown precision '\(name)'", expected: "one of \(Precision.names.joined(separator: ", "))",
        actual: name)
    }
    return precision
  }

  /// ONNX files in a folder and its direct subfolders, in order of their names.
  private static func models(in folder: String) -> [String] {
    func files(_ folder: String) -> [String] {
      Paths.names(in: folder).filter { $0.hasSuffix(".onnx") }.map { Paths.join(folder, $0) }
    }
    let subfolders = Paths.names(in: folder).map { Paths.join(folder, $0) }.filter(Paths.isFolder)
    return files(folder) + subfolders.flatMap(files)
  }

  /// Component and class of every entry of `model_index.json` that names one.
  private static func components(_ description: JSON) -> [(name: String, kind: String)] {
    (description.object ?? [:]).compactMap { key, value in
      guard !key.hasPrefix("_"), let kind = value[1]?.string else { return nil }
      return (key, kind)
    }.sorted { $0.0 < $1.0 }
  }

  private func printJSON(_ path: String, _ description: JSON, _ inspections: [ModelInspection]) {
    let supported = inspections.allSatisfy(\.canRun)
    Terminal.print(
      JSON.object([
        "status": supported ? "OK" : "UNSUPPORTED", "path": .string(path), "class": description["_class_name"] ?? .null,
        "components": .object(
          Dictionary(
            InspectCommand.components(description).map { ($0.name, .string($0.kind)) }, uniquingKeysWith: { a, _ in a })
        ),
        "models": .array(inspections.map(\.json)),
        "memory_bytes": JSON(inspections.reduce(0) { $0 + $1.computedBytes }),
        "memory_bytes_by_precision": .object(
          Dictionary(
            Precision.allCases.map { precision in
              (precision.rawValue, JSON(inspections.reduce(0) { $0 + ($1.bytesByPrecision[precision] ?? 0) }))
            }, uniquingKeysWith: { a, _ in a })), "supported": .bool(supported),
      ]).text)
  }

  private func printText(_ path: String, _ description: JSON, _ inspections: [ModelInspection]) {
    Terminal.print(path)
    if let kind = description["_class_name"]?.string { Terminal.print("  \(kind)") }
    for (name, kind) in InspectCommand.components(description) { Terminal.print("  \(name): \(kind)") }
    for inspection in inspections {
      Terminal.print("")
      Terminal.print(inspection.path)
      inspection.print()
    }
    Terminal.print("")
    let memory = inspections.reduce(0) { $0 + $1.computedBytes }
    Terminal.print("Weights in memory: about \(formatted(bytes: Double(memory)))")
    let others = Precision.allCases.map { precision in
      let bytes = inspections.reduce(0) { $0 + ($1.bytesByPrecision[precision] ?? 0) }
      return "\(precision.rawValue) \(formatted(bytes: Double(bytes)))"
    }
    Terminal.print("  by --precision: \(others.joined(separator: ", "))")
    let operators = Set(inspections.flatMap(\.operators.keys))
    let problems = inspections.flatMap(\.problems)
    if inspections.allSatisfy(\.canRun) {
      Terminal.print("All \(operators.count) operators are supported.")
    } else {
      let names = Set(problems.map(\.operatorType)).sorted().joined(separator: ", ")
      Terminal.print(names.isEmpty ? "Cannot run; see above." : "Not supported: \(names)")
    }
  }
}
