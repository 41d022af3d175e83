import Graph
import Support

/// One line of an operator table: the ONNX name, the opset versions covered, and how to make it from a node.
///
/// `make` parses and checks the attributes for the node's opset version; anything it does not support throws
/// `.unsupported` at load, never at run.
public struct OperatorEntry: Sendable {
  public enum Implementation: Sendable {
    case planned(@Sendable (Node) throws -> any Operator)
    case dynamic(@Sendable (Node) throws -> any DynamicOperator)
  }

  public var domain: String
  public var name: String
  /// Opset versions whose semantics the implementation covers.
  public var versions: ClosedRange<Int>
  public var implementation: Implementation

  public init(
    _ name: String, domain: String = "", versions: ClosedRange<Int> = 1...99,
    make: @escaping @Sendable (Node) throws -> any Operator
  ) {
    self.domain = domain
    self.name = name
    self.versions = versions
    implementation = .planned(make)
  }

  public init(
    dynamic name: String, domain: String = "", versions: ClosedRange<Int> = 1...99,
    make: @escaping @Sendable (Node) throws -> any DynamicOperator
  ) {
    self.domain = domain
    self.name = name
    self.versions = versions
    implementation = .dynamic(make)
  }
}

/// Every operator of the engine, found by domain and name.
public struct OperatorRegistry: Sendable {
  public static let standard = OperatorRegistry(tables: [
    elementwiseOperators, reductionOperators, castOperators, quantizationOperators,
    shapeOperators, gatherScatterOperators, controlFlowOperators, sequenceOperators, generatorOperators,
    denseOperators, normalizationOperators, convolutionOperators, poolingOperators, attentionOperators, imageOperators,
    fusedOperators, trainingOperators, recurrentOperators,
  ])

  private let entries: [String: OperatorEntry]

  public init(tables: [[OperatorEntry]]) {
    var entries: [String: OperatorEntry] = [:]
    for entry in tables.joined() { entries["\(entry.domain):\(entry.name)"] = entry }
    self.entries = entries
  }

  public func entry(domain: String, name: String, version: Int) -> OperatorEntry? {
    guard let entry = entries["\(domain):\(name)"], entry.versions.contains(version) else { return nil }
    return entry
  }

  /// `domain:name` of everything implemented, sorted.
  public var names: [String] { entries.keys.sorted() }
}
