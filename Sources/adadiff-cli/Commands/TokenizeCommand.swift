import ArgumentParser
import Support

struct TokenizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenize",
    abstract: "Show the token ids that a pipeline reads a text as.",
    discussion: """
      EXAMPLE:
        adadiff tokenize "a photo of a cat" --model ./sd15-onnx --json
      """)

  @Argument(help: "Any text.") var text: String

  @OptionGroup(title: "Pipeline") var pipeline: PipelineOptions
  @OptionGroup(title: "Output") var outputOptions: OutputOptions

  func run() throws {
    let display = ProgressDisplay(quiet: true)
    let options = try pipeline.libraryOptions(output: outputOptions, progress: display)
    try options.set("lazy", true)
    let tensors = try LibraryPipeline(path: try pipeline.folder(), options: options).tokenize(text)
    if outputOptions.json {
      var members: [String: JSON] = ["status": "OK", "text": .string(text)]
      for tensor in tensors { members[tensor.name] = .array(tensor.integers.map { JSON($0) }) }
      Terminal.print(JSON.object(members).text)
      return
    }
    let ids = tensors.first { $0.name == "token_ids" }?.integers ?? []
    let length = tensors.first { $0.name == "input_ids" }?.integers.count ?? 0
    Terminal.print(ids.map(String.init).joined(separator: " "))
    if ids.count > length {
      Terminal.printError("\(ids.count) tokens; the model reads the first \(length) and ignores the rest")
    } else {
      Terminal.printError("\(ids.count) of \(length) tokens")
    }
  }
}
