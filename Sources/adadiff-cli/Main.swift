import ArgumentParser
import Support

/// The command's entry point: parses, runs, and turns every failure into a message and an exit code.
@main
struct Main {
  static func main() {
    let arguments = Array(CommandLine.arguments.dropFirst())
    // Usage errors come before `--json` is parsed, so it is looked for by name.
    let json = arguments.prefix { $0 != "--" }.contains("--json")
    do {
      var command = try AdaDiffCommand.parseAsRoot(arguments)
      try command.run()
    } catch let failure as Failure {
      report(failure, json: json)
    } catch let code as ExitCode {
      // The command has said what there is to say.
      AdaDiffCommand.exit(withError: code)
    } catch {
      let code = AdaDiffCommand.exitCode(for: error)
      // Help and version requests are "errors" of the parser with exit code 0.
      guard json, code != .success else { AdaDiffCommand.exit(withError: error) }
      report(Failure(.invalidArgument, AdaDiffCommand.message(for: error)), json: true)
    }
  }

  private static func report(_ failure: Failure, json: Bool) -> Never {
    if json {
      Terminal.print(ExitStatus.json(failure).text)
    } else if failure.status == .cancelled {
      Terminal.printError("Cancelled.")
    } else {
      Terminal.printError("Error: \(failure)")
    }
    AdaDiffCommand.exit(withError: ExitCode(ExitStatus.code(for: failure.status)))
  }
}

struct AdaDiffCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "adadiff",
    abstract: "Pictures from text on the CPU, with only as many sampling steps as the prompt deserves.",
    discussion: """
      EXAMPLES:
        adadiff generate "a strawberry on yellow"
            A picture from the bundled model; a small network chooses the
            number of steps.
        adadiff generate "a red apple" --model ./sd15 --output apple.png
            Any Stable Diffusion 1.x or 2.x pipeline that
            `optimum-cli export onnx` wrote.
        adadiff inspect ./sd15
            What is in a pipeline or an ONNX file, and whether it can run.

      \(ExitStatus.documentation)
      """,
    subcommands: [
      GenerateCommand.self, PolicyCommand.self, RunCommand.self, InspectCommand.self, TokenizeCommand.self,
      BenchCommand.self, SkipCommand.self, CalibrateCommand.self, VersionCommand.self,
    ])
}

/// Flags that every command has.
struct OutputOptions: ParsableArguments {
  @Flag(help: "Print one JSON object on stdout, also for errors.")
  var json = false

  @Flag(name: .shortAndLong, help: "Show no progress.")
  var quiet = false
}
