import ArgumentParser
import Support

/// Which pipeline, and how it is opened.
struct PipelineOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Pipeline folder in the layout of `optimum-cli export onnx`.",
      discussion: "Default: the environment variable ADADIFF_MODEL, else the bundled emoji model.", valueName: "dir"))
  var model: String?

  @Option(help: ArgumentHelp("Threads to compute on (default: all allowed processors).", valueName: "n"))
  var threads: Int?

  @Option(
    help: ArgumentHelp("Of the large products: float32, bfloat16 or int8 (default: float32).", valueName: "precision"))
  var precision: String?

  @Option(
    name: .customLong("option"),
    help: ArgumentHelp(
      "Any other option of the library, as name=value; repeatable. `adadiff version --options` lists them.",
      valueName: "name=value"))
  var settings: [String] = []

  /// The folder to open.
  func folder() throws(Failure) -> String {
    if let model { return model }
    return try BundledModel.folder()
  }

  /// Options for opening and running that carry the cancel token, `--threads` and `--option`.
  func libraryOptions(output: OutputOptions, progress: ProgressDisplay) throws(Failure) -> LibraryOptions {
    let options = try LibraryOptions()
    try options.setCancelToken(try Interruption.token())
    if let threads { try options.set("threads", threads) }
    if let precision { try options.set("precision", precision) }
    for setting in settings {
      let parts = setting.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard parts.count == 2, !parts[0].isEmpty else {
        throw Failure(.invalidArgument, "--option takes name=value", actual: "'\(setting)'")
      }
      try options.set(parts[0], parts[1])
    }
    try options.onProgress { progress.update($0) }
    if !output.json {
      try options.onWarning { component, message in
        progress.finishLine()
        Terminal.printError("Warning: \(component.isEmpty ? "" : "[\(component)] ")\(message)")
      }
    }
    return options
  }
}

/// The model that comes with the command.
enum BundledModel {
  static let name = "emoji-scenes"
  /// Used when the bundled model runs without a prompt.
  static let prompt = "a cat face on blue"

  /// `ADADIFF_MODEL`, else the installed model beside the executable, else the one in the source tree.
  static func folder() throws(Failure) -> String {
    if let path = Environment.value("ADADIFF_MODEL"), !path.isEmpty { return path }
    guard let executable = Environment.executablePath else {
      throw Failure(.notFound, "the bundled model cannot be located; name a pipeline with --model")
    }
    let installed = Paths.parent(executable) + "/../share/adadiff/models/\(name)"
    if Paths.exists(installed + "/model_index.json") { return installed }
    // A build folder lies somewhere below the root of the source tree.
    var folder = Paths.parent(executable)
    while folder != "/" {
      let candidate = "\(folder)/models/\(name)"
      if Paths.exists(candidate + "/model_index.json") { return candidate }
      folder = Paths.parent(folder)
    }
    throw Failure(
      .notFound, "the bundled model is not installed; name a pipeline with --model or ADADIFF_MODEL", file: installed)
  }
}
