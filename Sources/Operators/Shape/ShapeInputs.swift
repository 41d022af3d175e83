import Graph
import Support

/// What is known about a node's inputs, read with checks.
extension [ValueInfo?] {
  func info(at index: Int, named name: String) throws(Failure) -> ValueInfo {
    guard index < count, let info = self[index] else {
      throw Failure(.corrupt, "required input \(index) '\(name)' is missing")
    }
    return info
  }

  func optionalInfo(at index: Int) -> ValueInfo? { index < count ? self[index] : nil }

  /// True when one of these inputs is given but its elements are not known yet.
  func isUnknown(at indices: Int...) -> Bool {
    indices.contains { index in optionalInfo(at: index).map { $0.constant == nil } ?? false }
  }

  /// Elements of an integer input; nil when it is absent. The caller has asked `isUnknown` first.
  func integers(at index: Int, named name: String) throws(Failure) -> [Int]? {
    guard let info = optionalInfo(at: index) else { return nil }
    guard let constant = info.constant else {
      throw Failure(.internalError, "the elements of input '\(name)' are not known")
    }
    guard info.type.isInteger else {
      throw Failure(.typeMismatch, "input '\(name)' must hold integers", actual: info.type.name)
    }
    return try constant.integers()
  }

  func requiredIntegers(at index: Int, named name: String) throws(Failure) -> [Int] {
    guard let values = try integers(at: index, named: name) else {
      throw Failure(.corrupt, "required input \(index) '\(name)' is missing")
    }
    return values
  }

  /// The only element of an integer input; nil when it is absent.
  func integer(at index: Int, named name: String) throws(Failure) -> Int? {
    guard let values = try integers(at: index, named: name) else { return nil }
    guard values.count == 1 else {
      throw Failure(.shapeMismatch, "input '\(name)' must have one element", actual: "\(values.count)")
    }
    return values[0]
  }

  /// Elements of a numeric input as Double; nil when it is absent.
  func numbers(at index: Int, named name: String) throws -> [Double]? {
    guard let info = optionalInfo(at: index) else { return nil }
    guard let constant = info.constant else {
      throw Failure(.internalError, "the elements of input '\(name)' are not known")
    }
    return try constant.numbers()
  }

  func number(at index: Int, named name: String) throws -> Double? {
    guard let values = try numbers(at: index, named: name) else { return nil }
    guard values.count == 1 else {
      throw Failure(.shapeMismatch, "input '\(name)' must have one element", actual: "\(values.count)")
    }
    return values[0]
  }
}

extension [Tensor?] {
  func tensor(at index: Int) throws(Failure) -> Tensor {
    guard index < count, let tensor = self[index] else {
      throw Failure(.internalError, "tensor \(index) of the operator is missing")
    }
    return tensor
  }

  func optionalTensor(at index: Int) -> Tensor? { index < count ? self[index] : nil }

  /// The tensors as shape inference sees them once everything is known.
  var infos: [ValueInfo?] {
    map { $0.map { ValueInfo(type: $0.type, shape: $0.shape, constant: $0) } }
  }
}

extension DataType {
  /// Types that may hold sizes, axes and indices.
  var isInteger: Bool {
    switch self {
    case .int8, .int16, .int32, .int64, .uint8, .uint16, .uint32, .uint64: true
    default: false
    }
  }
}

/// Rules that many shape operators share.
enum ShapeRules {
  /// `axis` counted from the front; negative axes count from the back.
  static func axis(_ axis: Int, rank: Int, named name: String = "axis") throws(Failure) -> Int {
    guard axis >= -rank, axis < rank else {
      throw Failure(.outOfRange, "\(name) \(axis) does not exist in a tensor of rank \(rank)")
    }
    return axis < 0 ? axis + rank : axis
  }

  /// Axes counted from the front, each at most once.
  static func axes(_ axes: [Int], rank: Int) throws(Failure) -> [Int] {
    var seen = Set<Int>()
    var resolved: [Int] = []
    for axis in axes {
      let index = try self.axis(axis, rank: rank)
      guard seen.insert(index).inserted else {
        throw Failure(.invalidArgument, "axis \(axis) is listed twice in \(axes)")
      }
      resolved.append(index)
    }
    return resolved
  }

  /// Row-major strides in elements.
  static func strides(of shape: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: shape.count)
    var stride = 1
    for axis in shape.indices.reversed() {
      strides[axis] = stride
      stride *= max(1, shape[axis])
    }
    return strides
  }

  /// NumPy broadcasting of two shapes.
  static func broadcast(_ a: [Int], _ b: [Int]) throws(Failure) -> [Int] {
    let rank = max(a.count, b.count)
    var result = [Int](repeating: 1, count: rank)
    for axis in 0..<rank {
      let left = axis - (rank - a.count)
      let right = axis - (rank - b.count)
      let x = left >= 0 ? a[left] : 1
      let y = right >= 0 ? b[right] : 1
      guard x == y || x == 1 || y == 1 else {
        throw Failure(.shapeMismatch, "shapes \(a) and \(b) do not broadcast")
      }
      result[axis] = x == 1 ? y : x
    }
    return result
  }

  static func requireRank(_ info: ValueInfo, _ rank: Int, named name: String) throws(Failure) {
    guard info.shape.count == rank else {
      throw Failure(
        .shapeMismatch, "input '\(name)' has the wrong rank", expected: "rank \(rank)", actual: "\(info.shape)")
    }
  }

  static func requireSameType(_ a: ValueInfo, _ b: ValueInfo, named name: String) throws(Failure) {
    guard a.type == b.type else {
      throw Failure(
        .typeMismatch, "input '\(name)' has the wrong element type", expected: a.type.name, actual: b.type.name)
    }
  }

  static func requireIndexType(_ info: ValueInfo, named name: String) throws(Failure) {
    guard info.type == .int32 || info.type == .int64 else {
      throw Failure(
        .typeMismatch, "input '\(name)' must hold indices", expected: "int32 or int64", actual: info.type.name)
    }
  }
}

extension Node {
  /// The number of results the node names, trailing unused ones included.
  var outputCount: Int { outputs.count }

  /// A string attribute that must be one of a few words.
  func word(_ name: String, default value: String, among words: [String]) throws -> String {
    let word = try string(name, default: value)
    guard words.contains(word) else {
      throw Failure(
        .unsupported, "attribute '\(name)' has a value that is not known", expected: words.joined(separator: ", "),
        actual: "'\(word)'")
    }
    return word
  }
}
