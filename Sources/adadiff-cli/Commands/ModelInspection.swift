import Graph
import Operators
import Runtime
import Support

/// What an ONNX file holds, and what of it cannot run here.
struct ModelInspection {
  struct Problem {
    var node: String
    var operatorType: String
    var reason: String
  }

  var path: String
  /// That `fusions` and `computedBytes` are for.
  var precision: Precision
  var opsets: [(domain: String, version: Int)]
  var producer: String
  var inputs: [String]
  var outputs: [String]
  var nodes = 0
  /// Nodes per operator, those of subgraphs included; `domain:name` outside the default domain.
  var operators: [String: Int] = [:]
  /// Elements of all constants.
  var parameters = 0
  /// Bytes of all constants as the file stores them.
  var storedBytes = 0
  /// Bytes of all constants in memory, where half-precision numbers are widened to float32.
  var computedBytes = 0
  /// Bytes of all constants in memory with products in a reduced precision.
  var bytesByPrecision: [Precision: Int] = [:]
  /// Nodes that no operator implements.
  var problems: [Problem] = []
  /// What a plan fuses; nil when not asked for or when the model cannot be planned.
  var fusions: FusionReport?
  /// Why there is no such report: the sizes do not fit the model.
  var fusionFailure: Failure?
  /// Why the model as a whole cannot be made ready; nil when it can.
  var failure: Failure?

  /// Reads the file; throws only where it is not a readable ONNX model.
  /// `fusionSizes`: sizes of free dimensions for a report of fusions.
  /// `isAroundNetwork`: a component whose precision is `Precision.aroundNetwork`.
  init(
    path: String, precision asked: Precision = .float32, isAroundNetwork: Bool = false,
    fusionSizes: DimensionSizes? = nil
  ) throws {
    let loaded = try ModelLoader.load(path: path)
    precision = isAroundNetwork ? asked.aroundNetwork : asked
    let graph = loaded.graph
    self.path = path
    opsets = loaded.opsets.map { ($0.key.isEmpty ? "ai.onnx" : $0.key, $0.value) }.sorted { $0.0 < $1.0 }
    producer = loaded.producer
    inputs = graph.inputs.map { Self.declaration(graph.values[$0.index]) }
    outputs = graph.outputs.map { Self.declaration(graph.values[$0.index]) }
    visit(graph, depth: 0)
    for other in Precision.allCases {
      let own = isAroundNetwork ? other.aroundNetwork : other
      bytesByPrecision[other] = computedBytes - ReducedPrecisionPass.savedBytes(own, in: graph)
    }
    computedBytes = bytesByPrecision[asked] ?? computedBytes
    do {
      _ = try Model(loaded, path: path)
    } catch let failure as Failure {
      self.failure = failure
    }
    guard let fusionSizes, failure == nil else { return }
    do {
      fusions = try FusionReport(loaded, shapes: fusionSizes.shapes(of: graph), precision: precision)
    } catch let failure as Failure {
      fusionFailure = failure
    }
  }

  var canRun: Bool { failure == nil && problems.isEmpty }

  var json: JSON {
    .object([
      "file": .string(path), "producer": .string(producer), "nodes": JSON(nodes),
      "opsets": .object(Dictionary(opsets.map { ($0.domain, JSON($0.version)) }, uniquingKeysWith: { a, _ in a })),
      "inputs": .array(inputs.map { .string($0) }), "outputs": .array(outputs.map { .string($0) }),
      "operators": .object(operators.mapValues { JSON($0) }), "parameters": JSON(parameters),
      "stored_bytes": JSON(storedBytes), "memory_bytes": JSON(computedBytes),
      "memory_bytes_by_precision": .object(
        Dictionary(bytesByPrecision.map { ($0.key.rawValue, JSON($0.value)) }, uniquingKeysWith: { a, _ in a })),
      "precision": .string(precision.rawValue), "supported": .bool(canRun),
      "problems": .array(
        problems.map {
          ["node": .string($0.node), "operator": .string($0.operatorType), "reason": .string($0.reason)]
        }),
      "failure": failure.map { ExitStatus.json($0) } ?? .null, "fusions": fusions?.json ?? .null,
      "fusion_failure": fusionFailure.map { ExitStatus.json($0) } ?? .null,
    ])
  }

  func print() {
    Terminal.print("  \(nodes) nodes, \(Self.grouped(parameters)) parameters, \(formatted(bytes: Double(storedBytes)))")
    let sets = opsets.map { "\($0.domain) \($0.version)" }.joined(separator: ", ")
    Terminal.print("  opset \(sets)\(producer.isEmpty ? "" : ", written by \(producer)")")
    for input in inputs { Terminal.print("  in   \(input)") }
    for output in outputs { Terminal.print("  out  \(output)") }
    let counts = operators.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($0.key) \($0.value)" }
    Terminal.print("  operators: \(counts.joined(separator: ", "))")
    // One line per kind of problem; `--json` lists every node.
    let kinds = Dictionary(grouping: problems) { "\($0.operatorType): \($0.reason)" }.sorted { $0.key < $1.key }
    for (kind, nodes) in kinds {
      let others = nodes.count > 1 ? " and \(nodes.count - 1) more" : ""
      Terminal.print("  NOT SUPPORTED: \(kind) (node '\(nodes[0].node)'\(others))")
    }
    if let failure, problems.isEmpty { Terminal.print("  CANNOT RUN: \(failure)") }
    fusions?.print()
    if let fusionFailure { Terminal.print("  fusions: cannot plan for these sizes (--dim): \(fusionFailure)") }
  }

  private mutating func visit(_ graph: Graph, depth: Int) {
    // The loader bounds nesting more tightly.
    guard depth < 64 else { return }
    nodes += graph.nodes.count
    for tensor in graph.constants.values {
      parameters += tensor.count
      storedBytes += tensor.bytes.count
      computedBytes += tensor.type.isFloatingPoint ? max(tensor.bytes.count, 4 * tensor.count) : tensor.bytes.count
    }
    for node in graph.nodes {
      let name = node.domain.isEmpty ? node.operatorType : "\(node.domain):\(node.operatorType)"
      operators[name, default: 0] += 1
      if let reason = Self.reasonAgainst(node) {
        problems.append(Problem(node: node.name, operatorType: name, reason: reason))
      }
      for attribute in node.attributes.values {
        switch attribute {
        case .graph(let inner): visit(inner, depth: depth + 1)
        case .graphs(let inner): for graph in inner { visit(graph, depth: depth + 1) }
        default: break
        }
      }
    }
  }

  /// Nil when the node's operator is implemented with these attributes.
  private static func reasonAgainst(_ node: Node) -> String? {
    let registry = OperatorRegistry.standard
    guard let entry = registry.entry(domain: node.domain, name: node.operatorType, version: node.version) else {
      return "not implemented for opset \(node.version)"
    }
    do {
      switch entry.implementation {
      case .planned(let make): _ = try make(node)
      case .dynamic(let make): _ = try make(node)
      }
      return nil
    } catch let failure as Failure {
      return failure.message
    } catch {
      return "\(error)"
    }
  }

  private static func declaration(_ value: ValueRecord) -> String { "\(value.name): \(text(value.type))" }

  private static func text(_ type: DeclaredType) -> String {
    switch type {
    case .tensor(let element, let shape):
      let sizes = shape?.map { dimension in
        switch dimension {
        case .fixed(let size): "\(size)"
        case .symbolic(let name): name
        case .unknown: "?"
        }
      }
      return "\(element.name)[\(sizes?.joined(separator: ", ") ?? "…")]"
    case .sequence(let element): return "sequence of \(text(element))"
    case .optional(let element): return "optional \(text(element))"
    case .unknown: return "any"
    }
  }

  /// `1,234,567`
  private static func grouped(_ number: Int) -> String {
    var text = ""
    for (index, digit) in String(number).reversed().enumerated() {
      if index > 0 && index % 3 == 0 { text.append(",") }
      text.append(digit)
    }
    return String(text.reversed())
  }
}
