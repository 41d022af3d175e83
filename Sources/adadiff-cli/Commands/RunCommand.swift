import ArgumentParser
import CAdaDiff
import Graph
import NumpyFiles
import Support

struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Run any ONNX model on arrays from .npy files.",
    discussion: """
      Every output becomes one file in the output folder, called after the output. A bfloat16 output is \
      written as float32 (exact); other types that numpy does not have, and strings, are refused.

      EXAMPLES:
        adadiff run text_encoder/model.onnx --input input_ids=ids.npy \\
            --output-dir out
        adadiff run unet/model.onnx --input sample=x.npy --profile \\
            --input timestep=t.npy --input encoder_hidden_states=h.npy \\
            --output-dir out
            Also prints the time of every kind of operator.
      """)

  @Argument(help: "ONNX file; external data is looked for in its folder.")
  var model: String

  @Option(help: ArgumentHelp("An input; repeat for each.", valueName: "name=file.npy"))
  var input: [String] = []

  @Option(help: ArgumentHelp("Folder for the outputs, made if missing.", valueName: "dir"))
  var outputDir: String

  @Option(help: ArgumentHelp("Only this output; repeatable (default: all).", valueName: "name"))
  var output: [String] = []

  @Option(help: ArgumentHelp("Threads to compute on (default: all allowed processors).", valueName: "n"))
  var threads: Int?

  @Option(
    help: ArgumentHelp("Of the large products: float32, bfloat16 or int8 (default: float32).", valueName: "precision"))
  var precision: String?

  @Flag(help: "Print the time of every kind of operator.")
  var profile = false

  @OptionGroup(title: "Output") var outputOptions: OutputOptions

  func run() throws {
    try Paths.requireWritableFolder(outputDir)
    let options = try LibraryOptions()
    try options.setCancelToken(try Interruption.token())
    if let threads { try options.set("threads", threads) }
    if let precision { try options.set("precision", precision) }
    if profile { try options.set("profile", true) }
    let inputs = try input.map { try LibraryTensor(argument: $0) }
    let (tensors, report) = try LibraryModel(path: model, options: options).run(
      inputs, outputs: output, options: options)
    var written: [JSON] = []
    for tensor in tensors {
      let path = Paths.join(outputDir, RunCommand.fileName(tensor.name))
      let array = try tensor.numpyArray()
      try array.write(toFile: path)
      if outputOptions.json {
        written.append([
          "name": .string(tensor.name), "type": .string(tensor.type.name), "file": .string(path),
          "shape": .array(tensor.shape.map { JSON($0) }),
        ])
      } else {
        Terminal.print("Wrote \(path)  \(tensor.type.name)\(tensor.shape)")
      }
    }
    if outputOptions.json {
      Terminal.print(JSON.object(["status": "OK", "outputs": .array(written), "report": report]).text)
      return
    }
    if let milliseconds = report["milliseconds"]?.double {
      Terminal.print("Time  \(formatted(seconds: milliseconds / 1000))")
    }
    if profile { OperatorTimes(report).print() }
  }

  /// An output's name as a file name: characters that folders or shells treat specially become `_`.
  static func fileName(_ output: String) -> String {
    let safe = output.map { $0.isLetter || $0.isNumber || "._-".contains($0) ? $0 : "_" }
    let name = String(safe.drop { $0 == "." })
    return (name.isEmpty ? "output" : name) + ".npy"
  }
}

extension LibraryTensor {
  /// An `--input` argument, `name=file.npy`.
  init(argument: String) throws(Failure) {
    guard let equals = argument.firstIndex(of: "="), equals != argument.startIndex else {
      throw Failure(.invalidArgument, "--input takes name=file.npy", actual: "'\(argument)'")
    }
    let array = try NumpyArray(readingFile: String(argument[argument.index(after: equals)...]))
    self.init(
      name: String(argument[..<equals]), type: DataType(array.type), shape: array.shape, bytes: array.bytes)
  }

  /// The tensor for a `.npy` file; bfloat16 becomes float32 (exact). Other types without a numpy equivalent throw.
  func numpyArray() throws(Failure) -> NumpyArray {
    if let type = NumpyType(type) { return try NumpyArray(type: type, shape: shape, bytes: bytes) }
    guard type == .bfloat16 else {
      throw Failure(.unsupported, "output '\(name)' of type \(type.name) cannot be written as .npy")
    }
    // The upper half of a float32 is a bfloat16.
    let wide = stride(from: 0, to: bytes.count - 1, by: 2).flatMap {
      [UInt8](arrayLiteral: 0, 0, bytes[$0], bytes[$0 + 1])
    }
    return try NumpyArray(type: .float32, shape: shape, bytes: wide)
  }
}

extension DataType {
  init(_ type: NumpyType) {
    switch type {
    case .bool: self = .bool
    case .int8: self = .int8
    case .int16: self = .int16
    case .int32: self = .int32
    case .int64: self = .int64
    case .uint8: self = .uint8
    case .uint16: self = .uint16
    case .uint32: self = .uint32
    case .uint64: self = .uint64
    case .float16: self = .float16
    case .float32: self = .float32
    case .float64: self = .float64
    }
  }
}

extension NumpyType {
  init?(_ type: DataType) {
    guard let match = NumpyType.allCases.first(where: { DataType($0) == type }) else { return nil }
    self = match
  }
}
