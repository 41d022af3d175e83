import ArgumentParser
import Support

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect", abstract: "Show what is in a pipeline folder or an ONNX file, and whether it can run.")

  @Argument(help: "Pipeline folder or ONNX file (default: the bundled pipeline).")
  var model: String?

  @OptionGroup(title: "Output") var outputOptions: OutputOptions

  func run() throws {
    throw Failure(.unsupported, "inspect is not there yet")
  }
}
