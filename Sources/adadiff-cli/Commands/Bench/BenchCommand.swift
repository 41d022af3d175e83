import ArgumentParser
import CAdaDiff
import Graph
import NumpyFiles
import Operators
import Support

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure a pipeline or an ONNX model: median time of several runs.",
    discussion: """
      A folder is measured as a pipeline (one picture per run), a file as a model. A model's inputs are given with \
      --input or made up: zeros of the declared shape, free dimensions set with --dim (default 1). Speed is compared \
      with this machine's own peak, measured in the same run: multiply-adds from the first-level cache, and for \
      operators that multiply no matrices the speed of copying memory. GFLOP/s count the operations of the definition; \
      Winograd's convolution does with a quarter of them, so shares above 100 % are possible.

      EXAMPLES:
        adadiff bench --steps 10 --runs 3
            The bundled pipeline.
        adadiff bench unet/model.onnx --profile --dim batch_size=2 \\
            --dim height=64 --dim width=64 --dim sequence_length=77
            One network call, with the time of every kind of operator.
        adadiff bench unet/model.onnx --precision bfloat16
            The same with weights and activations of its products rounded to bfloat16.
        adadiff bench unet/model.onnx --constant-input encoder_hidden_states …
            One call of a sampling loop: the text is the same in all.
        adadiff bench unet/model.onnx --repeated-input sample --repeated-input timestep …
            One call with classifier-free guidance: the latents are in the batch twice.
        adadiff bench unet/model.onnx --svg times.svg --dim batch_size=2 …
            The time of every node as nested bars.
        adadiff bench unet/model.onnx --tune --dim batch_size=2 …
            Were convolutions given the fastest algorithm?
      """)

  @Argument(help: "Pipeline folder or ONNX file (default: the bundled pipeline).")
  var model: String?

  @Option(
    help: ArgumentHelp(
      "Timed runs, after one that warms up; the median is reported. Profiled runs follow.", valueName: "n"))
  var runs = 5

  @Option(help: ArgumentHelp("Sampling steps of a pipeline, or auto.", valueName: "n"))
  var steps = "10"

  @Option(help: ArgumentHelp("Prompt of a pipeline.", valueName: "text"))
  var prompt = BundledModel.prompt

  @Option(help: ArgumentHelp("Input of a model; repeatable.", valueName: "name=file.npy"))
  var input: [String] = []

  @Option(help: ArgumentHelp("Size of a free dimension of a model; repeatable.", valueName: "name=size"))
  var dim: [String] = []

  @Option(
    name: .customLong("constant-input"),
    help: ArgumentHelp(
      "Input of a model that seldom changes, as text features do; what depends on such inputs alone is computed in the first run and kept. Repeatable.",
      valueName: "name"))
  var constantInputs: [String] = []

  @Option(
    name: .customLong("repeated-input"),
    help: ArgumentHelp(
      "Input of a model whose second half along the first axis equals the first, as latents do with guidance; what depends on such inputs alone is computed once. Repeatable.",
      valueName: "name"))
  var repeatedInputs: [String] = []

  @Option(help: ArgumentHelp("Threads to compute on (default: all allowed processors).", valueName: "n"))
  var threads: Int?

  @Option(
    help: ArgumentHelp("Of the large products: float32, bfloat16 or int8 (default: float32).", valueName: "precision"))
  var precision: String?

  @Flag(help: "Print the time of every kind of operator.")
  var profile = false

  @Option(help: ArgumentHelp("Draw the time of a model's nodes as nested bars.", valueName: "file.svg"))
  var svg: String?

  @Flag(help: "Time a model's convolutions with every algorithm there is, and say where the choice was wrong.")
  var tune = false

  @OptionGroup(title: "Output") var outputOptions: OutputOptions

  func run() throws {
    guard (1...10_000).contains(runs) else { throw Failure(.outOfRange, "--runs must be 1 to 10,000") }
    if let threads, threads < 1 { throw Failure(.outOfRange, "--threads must be at least 1") }
    if let svg { try Paths.requireWritable(svg) }
    let options = try LibraryOptions()
    try options.setCancelToken(try Interruption.token())
    if let threads { try options.set("threads", threads) }
    if let precision { try options.set("precision", precision) }
    let path = if let model { model } else { try BundledModel.folder() }
    if Paths.isFolder(path) {
      guard svg == nil, !tune, constantInputs.isEmpty, repeatedInputs.isEmpty else {
        throw Failure(
          .invalidArgument,
          "--svg, --tune, --constant-input and --repeated-input are for one network: give an ONNX file", actual: path)
      }
      try measurePipeline(path, options: options)
    } else if tune {
      guard constantInputs.isEmpty, repeatedInputs.isEmpty else {
        throw Failure(
          .invalidArgument, "--tune times single layers, for which --constant-input and --repeated-input mean nothing")
      }
      try measureAlternatives(path)
    } else {
      try measureModel(path, options: options)
    }
  }

  private func measurePipeline(_ path: String, options: LibraryOptions) throws {
    try options.set("steps", steps)
    try options.set("seed", 0)
    let pipeline = try LibraryPipeline(path: path, options: options)
    var results: [LibraryResult] = []
    try measure(path, profiledRuns: profile ? runs : 0) { profiled in
      try options.set("profile", profiled)
      let result = try pipeline.generate(prompt, options: options)
      results.append(result)
      return (result.totalSeconds, try JSON.parse(result.reportText))
    } detail: {
      guard let last = results.last else { return }
      Terminal.print("\(last.stepsPlanned) steps, \(last.networkCalls) network calls, \(last.width)×\(last.height)")
      for stage in last.stages {
        let timed = results.dropFirst().prefix(runs)
        let times = timed.compactMap { result in result.stages.first { $0.name == stage.name }?.seconds }
        Terminal.print("  \(ProgressDisplay.title(stage.name)): \(formatted(seconds: BenchCommand.median(times)))")
      }
    }
  }

  private func measureAlternatives(_ path: String) throws {
    let result = try TuneTable(path: path, sizes: DimensionSizes(dim), threads: threads, runs: runs)
    guard outputOptions.json else { return result.print() }
    Terminal.print(JSON.object(["status": "OK", "model": .string(path), "layers": result.json]).text)
  }

  private func measureModel(_ path: String, options: LibraryOptions) throws {
    try options.set("constant_inputs", constantInputs.joined(separator: ","))
    try options.set("repeated_inputs", repeatedInputs.joined(separator: ","))
    let model = try LibraryModel(path: path, options: options)
    var inputs = try input.map { try LibraryTensor(argument: $0) }
    let sizes = try dimensions()
    for port in model.inputs where !inputs.contains(where: { $0.name == port.name }) {
      inputs.append(try port.zeros(sizes))
    }
    // Without a table one run counts the operations.
    try measure(path, profiledRuns: profile || svg != nil || outputOptions.json ? runs : 1) { profiled in
      try options.set("profile", profiled)
      let clock = ContinuousClock()
      var report = JSON.null
      let elapsed = try clock.measure { report = try model.run(inputs, outputs: [], options: options).report }
      let wall = Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) * 1e-18
      return (report["milliseconds"]?.double.map { $0 / 1000 } ?? wall, report)
    } detail: {
      for input in inputs { Terminal.print("  \(input.name): \(input.type.name)\(input.shape)") }
    }
  }

  /// One warm-up, then `runs` timed calls of `body`, which returns seconds and the report; then profiled ones, whose reports take so
  /// long to write that threads fall asleep and caches forget the model.
  private func measure(
    _ path: String, profiledRuns: Int, _ body: (_ profiled: Bool) throws -> (Double, JSON), detail: () throws -> Void
  ) throws {
    let first = try body(false).0
    var times: [Double] = []
    var report = JSON.null
    for _ in 0..<runs {
      let (seconds, latest) = try body(false)
      times.append(seconds)
      report = latest
    }
    // The profile is that of the fastest run, which other work on the machine disturbed least.
    var fastest = Double.infinity
    for _ in 0..<profiledRuns {
      let (seconds, latest) = try body(true)
      if seconds < fastest { (fastest, report) = (seconds, latest) }
    }
    let median = BenchCommand.median(times)
    let nodes = OperatorTimes(report, key: "nodes")
    if let svg { try WholeFile.write(FlameChart(nodes, title: path).svg, to: svg) }
    let operators = OperatorTimes(report)
    let peak =
      operators.rows.isEmpty
      ? nil : try MachinePeak.measure(pool: threads.map { ThreadPool(threads: $0) } ?? ThreadPool())
    // What the library does between operators, in the run that was profiled.
    let outside = fastest - operators.milliseconds / 1000
    let speed = median > 0 ? operators.gigaOperations / median : 0
    if outputOptions.json {
      var members: [String: JSON] = [
        "status": "OK", "model": .string(path), "precision": report["precision"] ?? .null,
        "first_ms": JSON(first * 1000), "median_ms": JSON(median * 1000),
        "runs_ms": .array(times.map { JSON($0 * 1000) }), "report": report,
      ]
      if let peak {
        members["gflops"] = JSON(speed)
        members["peak_gflops"] = JSON(peak.operationsPerSecond * 1e-9)
        members["peak_gbytes_per_second"] = JSON(peak.bytesPerSecond * 1e-9)
        members["outside_ms"] = JSON(outside * 1000)
      }
      return Terminal.print(JSON.object(members).text)
    }
    Terminal.print("\(path)\(report["precision"]?.string.map { ", \($0)" } ?? "")")
    try detail()
    let range = "\(formatted(seconds: times.min() ?? 0)) to \(formatted(seconds: times.max() ?? 0))"
    Terminal.print(
      "Median of \(runs): \(formatted(seconds: median)) (\(range); the first run took \(formatted(seconds: first)))")
    if let peak {
      let share = rounded(100 * speed * 1e9 / peak.operationsPerSecond, digits: 0)
      Terminal.print(
        """
        \(rounded(speed, digits: 0)) GFLOP/s, \(share) % of this machine's \
        \(rounded(peak.operationsPerSecond * 1e-9, digits: 0)) GFLOP/s \
        (copying: \(rounded(peak.bytesPerSecond * 1e-9, digits: 1)) GB/s)
        """)
    }
    guard profile else { return }
    operators.print(peak: peak)
    let share = rounded(100 * outside / max(fastest, 1e-9), digits: 1)
    Terminal.print(
      "Outside operators: \(formatted(seconds: max(0, outside))), \(share) % of the fastest run, which the table is of")
  }

  /// 0 for no values.
  static func median(_ values: [Double]) -> Double {
    guard !values.isEmpty else { return 0 }
    let sorted = values.sorted()
    return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
  }

  private func dimensions() throws(Failure) -> [String: Int] { try DimensionSizes(dim).sizes }
}

extension LibraryPort {
  /// Zeros of the declared type and shape; `sizes` gives free dimensions by name, others become 1.
  func zeros(_ sizes: [String: Int]) throws(Failure) -> LibraryTensor {
    guard let type, type != .string, let dimensions else {
      throw Failure(.invalidArgument, "input '\(name)' (\(declaration)) cannot be made up; give it with --input")
    }
    let shape = dimensions.map { Int($0) ?? sizes[$0] ?? 1 }
    let count = try CheckedSize.product(shape, of: "input '\(name)'")
    return LibraryTensor(
      name: name, type: type, shape: shape, bytes: [UInt8](repeating: 0, count: type.byteCount(count)))
  }
}
