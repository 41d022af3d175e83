/// Index of a value inside its `Graph`.
public struct ValueID: Hashable, Sendable, Comparable {
  public var index: Int
  public init(_ index: Int) { self.index = index }
  public static func < (a: ValueID, b: ValueID) -> Bool { a.index < b.index }
}

/// One dimension as a model declares it: a number, a name (`batch`), or nothing.
public enum Dimension: Sendable, Hashable {
  case fixed(Int)
  case symbolic(String)
  case unknown
}

/// A declared ONNX type.
public indirect enum DeclaredType: Sendable, Hashable {
  /// `shape` nil: rank unknown.
  case tensor(DataType, shape: [Dimension]?)
  case sequence(DeclaredType)
  case optional(DeclaredType)
  case unknown
}

/// Attribute values as ONNX defines them. Graph attributes keep their captured outer values in `Graph.captures`.
public enum Attribute: Sendable {
  case int(Int64)
  case float(Float)
  /// Raw bytes decoded as UTF-8 (invalid sequences are refused when the model is loaded).
  case string(String)
  case tensor(Tensor)
  case graph(Graph)
  case type(DeclaredType)
  case ints([Int64])
  case floats([Float])
  case strings([String])
  case tensors([Tensor])
  case graphs([Graph])
}

/// One operator application. Absent optional inputs and unused outputs are nil.
public struct Node: Sendable {
  public var name: String
  public var operatorType: String
  /// Empty for the default ONNX domain (`ai.onnx` is mapped to empty); `adadiff` for operators that passes introduce.
  public var domain: String
  /// Opset version of `domain` that the model imports.
  public var version: Int
  public var inputs: [ValueID?]
  public var outputs: [ValueID?]
  public var attributes: [String: Attribute]

  public init(
    name: String, operatorType: String, domain: String = "", version: Int, inputs: [ValueID?], outputs: [ValueID?],
    attributes: [String: Attribute] = [:]
  ) {
    self.name = name
    self.operatorType = operatorType
    self.domain = domain
    self.version = version
    self.inputs = inputs
    self.outputs = outputs
    self.attributes = attributes
  }
}

/// A value's name and declared type.
public struct ValueRecord: Sendable {
  public var name: String
  public var type: DeclaredType
  public init(name: String, type: DeclaredType = .unknown) {
    self.name = name
    self.type = type
  }
}

/// An ONNX graph: nodes in topological order over numbered values. A value type: passes rewrite copies.
public struct Graph: Sendable {
  public var name: String
  public var values: [ValueRecord]
  public var nodes: [Node]
  /// True inputs only; initializers that are also listed as inputs (IR 3) are constants unless fed.
  public var inputs: [ValueID]
  public var outputs: [ValueID]
  /// Initializers and folded values.
  public var constants: [ValueID: Tensor]
  /// For a subgraph: values of the enclosing graph it reads, and their local numbers.
  public var captures: [(outer: ValueID, local: ValueID)]

  public init(name: String) {
    self.name = name
    values = []
    nodes = []
    inputs = []
    outputs = []
    constants = [:]
    captures = []
  }

  public mutating func addValue(name: String, type: DeclaredType = .unknown) -> ValueID {
    values.append(ValueRecord(name: name, type: type))
    return ValueID(values.count - 1)
  }
}
