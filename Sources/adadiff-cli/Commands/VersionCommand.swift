import ArgumentParser
import CAdaDiff
import Support

struct VersionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "version", abstract: "Show the version, the build, and what this build knows.")

  @Flag(help: "List the schedulers.") var schedulers = false
  @Flag(help: "List the ONNX operators.") var operators = false
  @Flag(help: "List the step policies.") var policies = false
  @Flag(help: "List the options for --option, with their defaults.") var options = false
  @OptionGroup(title: "Output") var outputOptions: OutputOptions

  func run() throws {
    let lists = [
      (schedulers, "schedulers", ADADIFF_LIST_SCHEDULERS), (operators, "operators", ADADIFF_LIST_OPERATORS),
      (policies, "policies", ADADIFF_LIST_POLICIES), (options, "options", ADADIFF_LIST_OPTIONS),
    ].filter(\.0)
    let build = try LibraryCall.json(adadiff_build_info())
    if outputOptions.json {
      var members = build.object ?? [:]
      members["status"] = "OK"
      for (_, key, list) in lists { members[key] = .array(LibraryCall.names(list).map { .string($0) }) }
      Terminal.print(JSON.object(members).text)
      return
    }
    guard lists.isEmpty else {
      for (_, key, list) in lists {
        for name in LibraryCall.names(list) { Terminal.print(key == "options" ? try describe(name) : name) }
      }
      return
    }
    Terminal.print("adadiff \(LibraryCall.string(adadiff_version()) ?? "")")
    for (key, value) in (build.object ?? [:]).sorted(by: { $0.key < $1.key }) where key != "version" {
      Terminal.print("  \(key): \(value.string ?? value.text)")
    }
  }

  private func describe(_ name: String) throws(Failure) -> String {
    var information = adadiff_option_info()
    information.struct_size = MemoryLayout<adadiff_option_info>.stride
    try LibraryCall.check { adadiff_option_describe(name, &information, $0) }
    let value = LibraryCall.string(information.default_text) ?? ""
    return "\(name)=\(value)  \(LibraryCall.string(information.documentation) ?? "")"
  }
}
