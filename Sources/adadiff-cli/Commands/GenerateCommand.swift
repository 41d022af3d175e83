import ArgumentParser
import CAdaDiff
import NumpyFiles
import PictureFiles
import Support

struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Make a picture from a text.",
    discussion: """
      The number of sampling steps decides quality and time. With `--steps auto` (the default) the pipeline's policy, a \
      small network trained for it, reads the prompt and picks the number; a pipeline without one uses its scheduler's \
      default. Equal seed, prompt and options give equal pictures, whatever the number of threads.

      EXAMPLES:
        adadiff generate
            The bundled model with its own prompt; writes adadiff.png.
        adadiff generate "a red apple" --output apples.png --count 4
            Four pictures: apples-1.png to apples-4.png.
        adadiff generate "a cat" --model ./sd15 --steps 25 --seed 42
            Seed 42 gives the same noise as torch.manual_seed(42).
        adadiff generate "a cat" --scheduler euler --guidance 6
            Another scheduler than the pipeline's own.
        adadiff generate "a cat" --latents noise.npy --save-latents x.npy
            Own noise in, final latents out: float32, shape
            (count, channels, height, width). --save-trajectory adds a first
            axis, the step.
      """)

  @Argument(help: ArgumentHelp("What the picture shows.", discussion: "Optional with the bundled model."))
  var prompt: String?

  @OptionGroup(title: "Pipeline") var pipeline: PipelineOptions

  @Option(help: ArgumentHelp("What the picture should not show.", valueName: "text"))
  var negative: String?

  @Option(help: ArgumentHelp("Sampling steps, 1 to 1000, or auto.", valueName: "n"))
  var steps = "auto"

  @Option(
    help: ArgumentHelp(
      "Who decides when the steps are auto: learned, fixed:N, random, words, perplexity, each with parameters.",
      discussion: "NAME[:key=value,…], for example words:thresholds=8/10/12/14,steps=10/20/30/40/50.",
      valueName: "policy"))
  var policy: String?

  @Option(
    help: ArgumentHelp("Where the learned policy decides: 0 fewest steps, 0.5 as trained, 1 most.", valueName: "q"))
  var policyQuality: Double?

  @Option(
    help: ArgumentHelp(
      "Time for the whole run, such as 2.5s or 800ms: no more steps than this machine's speed allows.",
      valueName: "time"))
  var deadline: String?

  @Option(
    help: ArgumentHelp(
      "Scheduler: a diffusers class name or a short form such as ddim, euler, dpmsolver-multistep.",
      discussion: "`adadiff version --schedulers` lists them. Default: the pipeline's own.", valueName: "name"))
  var scheduler: String?

  @Option(
    help: ArgumentHelp(
      "Leave the network out where earlier outputs tell enough: a rule with its parameters.",
      discussion: "`adadiff skip rules` lists them. Example: step-control:tolerance=0.02", valueName: "rule"))
  var skip: String?

  @Option(
    help: ArgumentHelp(
      "Keep features between network calls: deepcache[:branch=b,interval=n].", valueName: "cache"))
  var cache: String?

  @Option(
    help: ArgumentHelp(
      "Least PSNR in dB against the full run: the fastest calibrated way that reaches it.",
      discussion: "Needs `adadiff calibrate` once.", valueName: "dB"))
  var quality: Double?

  @Option(help: ArgumentHelp("Guidance scale; 1 or less switches guidance off.", valueName: "g"))
  var guidance: Double?

  @Option(help: ArgumentHelp("Seed of the noise, as torch.manual_seed (default: drawn, and printed).", valueName: "s"))
  var seed: Int?

  @Option(help: ArgumentHelp("Pixels (default: the model's own size).", valueName: "w"))
  var width: Int?

  @Option(help: ArgumentHelp("Pixels (default: the model's own size).", valueName: "h"))
  var height: Int?

  @Option(
    help: ArgumentHelp("Pictures to make; above 1 the files are called name-1.png, name-2.png, …", valueName: "n"))
  var count = 1

  @Option(help: ArgumentHelp("Initial noise instead of a drawn one, as a .npy file.", valueName: "file.npy"))
  var latents: String?

  @Option(name: .shortAndLong, help: ArgumentHelp("Picture to write.", valueName: "file.png"))
  var output = "adadiff.png"

  @Option(help: ArgumentHelp("Write the final latents.", valueName: "file.npy"))
  var saveLatents: String?

  @Option(help: ArgumentHelp("Write the latents after every step.", valueName: "file.npy"))
  var saveTrajectory: String?

  @Option(help: ArgumentHelp("Write the report: steps, actions, times, policy.", valueName: "file.json"))
  var report: String?

  @OptionGroup(title: "Output") var outputOptions: OutputOptions

  func run() throws {
    let folder = try pipeline.folder()
    let prompt = try promptText()
    for path in pictureFiles + [saveLatents, saveTrajectory, report].compactMap({ $0 }) {
      try Paths.requireWritable(path)
    }
    let display = ProgressDisplay(quiet: outputOptions.quiet || outputOptions.json)
    let options = try pipeline.libraryOptions(output: outputOptions, progress: display)
    try apply(to: options)
    let trajectory = Trajectory()
    if saveTrajectory != nil { try options.onPreview { trajectory.append($0) } }

    defer { display.finishLine() }
    let result = try LibraryPipeline(path: folder, options: options).generate(prompt, options: options)
    display.finishLine()

    try writePictures(result, prompt: prompt)
    if let saveLatents, let latents = result.latents {
      try NumpyArray(shape: latents.shape, floats: latents.values).write(toFile: saveLatents)
    }
    if let saveTrajectory { try trajectory.write(toFile: saveTrajectory) }
    if let report { try FileBytes.write(Array((result.reportText + "\n").utf8), to: report) }
    if outputOptions.json {
      try printJSON(result)
    } else {
      GenerateSummary(result: result, files: pictureFiles, prompt: prompt, folder: pipeline.model).print()
    }
  }

  private func promptText() throws(Failure) -> String {
    if let prompt { return prompt }
    guard pipeline.model == nil else { throw Failure(.invalidArgument, "a prompt is required with --model") }
    return BundledModel.prompt
  }

  private var pictureFiles: [String] {
    count > 1 && count <= 1000 ? (1...count).map { Paths.numbered(output, $0) } : [output]
  }

  private func apply(to options: LibraryOptions) throws(Failure) {
    try options.set("steps", steps)
    try options.set("count", count)
    if let policy { try options.set("policy", policy) }
    if let policyQuality { try options.set("policy_quality", policyQuality) }
    if let deadline { try options.set("deadline_ms", Duration.milliseconds(deadline)) }
    if let negative { try options.set("negative_prompt", negative) }
    if let scheduler { try options.set("scheduler", SchedulerName.resolve(scheduler)) }
    if let guidance { try options.set("guidance_scale", guidance) }
    if let skip { try options.set("skip", skip) }
    if let cache { try options.set("cache", cache) }
    if let quality { try options.set("quality", quality) }
    if let seed { try options.set("seed", seed) }
    if let width { try options.set("width", width) }
    if let height { try options.set("height", height) }
    if let latents {
      let array = try NumpyArray(readingFile: latents)
      do {
        try options.set("latents", try array.floats(), shape: array.shape)
      } catch {
        throw error.adding(file: latents)
      }
    }
  }

  private func writePictures(_ result: LibraryResult, prompt: String) throws {
    for (index, path) in pictureFiles.enumerated() where index < result.imageCount {
      let bytes = try result.withPixels(index) {
        try PNGFile.encode(
          pixels: $0, width: result.width, height: result.height, text: pictureText(result, prompt: prompt))
      }
      guard let bytes else { throw Failure(.internalError, "picture \(index) has no pixels") }
      try FileBytes.write(bytes, to: path)
    }
  }

  /// The text that diffusion front ends read from a picture (key `parameters`), and the prompt alone.
  private func pictureText(_ result: LibraryResult, prompt: String) -> [(keyword: String, value: String)] {
    var parameters = prompt
    if let negative, !negative.isEmpty { parameters += "\nNegative prompt: \(negative)" }
    parameters += "\nSteps: \(result.stepsPlanned), Sampler: \(result.scheduler), "
    if let guidance { parameters += "CFG scale: \(guidance), " }
    parameters += "Seed: \(result.seed), Size: \(result.width)x\(result.height)"
    let version = LibraryCall.string(adadiff_version()) ?? ""
    return [("parameters", parameters), ("prompt", prompt), ("Software", "AdaDiff \(version)")]
  }

  private func printJSON(_ result: LibraryResult) throws {
    var members: [String: JSON] = [
      "status": "OK", "images": .array(pictureFiles.map { .string($0) }), "seed": JSON(result.seed),
      "steps": JSON(result.stepsPlanned), "report": try JSON.parse(result.reportText),
    ]
    for (key, path) in ["latents": saveLatents, "trajectory": saveTrajectory, "report_file": report] {
      if let path { members[key] = .string(path) }
    }
    Terminal.print(JSON.object(members).text)
  }
}

/// Latents after every step, in the order they arrived.
private final class Trajectory {
  private var shape: [Int] = []
  private var values: [Float] = []
  private var steps = 0

  func append(_ preview: PreviewReport) {
    shape = preview.shape
    values += preview.latents
    steps += 1
  }

  /// (steps, count, channels, height, width)
  func write(toFile path: String) throws(Failure) {
    try NumpyArray(shape: [steps] + shape, floats: values).write(toFile: path)
  }
}

/// Times as people write them.
enum Duration {
  /// `2.5s`, `800ms`, `1min`; a bare number is seconds.
  static func milliseconds(_ text: String) throws(Failure) -> Double {
    for (unit, factor) in [("ms", 1.0), ("min", 60_000), ("s", 1000), ("", 1000)] where text.hasSuffix(unit) {
      if let value = Double(text.dropLast(unit.count).trimmingSuffixSpaces), value.isFinite, value > 0 {
        return value * factor
      }
      break
    }
    throw Failure(
      .invalidArgument, "a time is a positive number with a unit", expected: "2.5s or 800ms", actual: "'\(text)'")
  }
}

extension Substring {
  fileprivate var trimmingSuffixSpaces: String {
    var text = self
    while text.last == " " { text.removeLast() }
    return String(text)
  }
}

/// Short forms of scheduler names.
enum SchedulerName {
  /// The class whose name equals `name` without case, hyphens, `Scheduler` and `Discrete`; else `name` itself, which the
  /// library answers with the list of known names.
  static func resolve(_ name: String) -> String {
    let known = LibraryCall.names(ADADIFF_LIST_SCHEDULERS)
    return known.first { $0 == name } ?? known.first { short($0) == short(name) } ?? name
  }

  private static func short(_ name: String) -> String {
    var text = name.lowercased().filter { $0.isLetter || $0.isNumber }
    for part in ["scheduler", "discrete"] { text = text.replacing(part, with: "") }
    return text
  }
}
