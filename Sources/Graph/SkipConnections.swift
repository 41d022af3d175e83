import Support

/// A place where a network's decoder joins a skip connection from its encoder.
public struct SkipConnection: Sendable, Equatable {
  /// The feature that comes from deeper inside and can be kept from an earlier call.
  public var deep: ValueID
  /// The encoder's feature that is joined to it.
  public var skip: ValueID
  public var node: String
}

extension Graph {
  /// Every channel-wise `Concat` of two values of which one was computed from the other, from the output inwards: index 0
  /// leaves least to compute when its deep feature is known.
  public func skipConnections() -> [SkipConnection] {
    var producer = [Int](repeating: -1, count: values.count)
    for (index, node) in nodes.enumerated() {
      for case let output? in node.outputs { producer[output.index] = index }
    }
    func depends(_ value: ValueID, on ancestor: ValueID) -> Bool {
      guard producer[ancestor.index] >= 0 else { return false }
      let first = producer[ancestor.index]
      var seen = Set<Int>()
      var pending = [producer[value.index]]
      while let index = pending.popLast() {
        guard index >= first, seen.insert(index).inserted else { continue }
        if index == first { return true }
        for input in nodes[index].allInputs { pending.append(producer[input.index]) }
      }
      return false
    }
    var found: [SkipConnection] = []
    for node in nodes.reversed() where node.isOperator("Concat") && node.inputs.count == 2 {
      guard case .int(let axis)? = node.attributes["axis"], axis == 1 || axis == -3,
        let a = node.inputs[0], let b = node.inputs[1], producer[a.index] >= 0, producer[b.index] >= 0, a != b
      else { continue }
      if depends(a, on: b) {
        found.append(SkipConnection(deep: a, skip: b, node: node.name))
      } else if depends(b, on: a) {
        found.append(SkipConnection(deep: b, skip: a, node: node.name))
      }
    }
    return found
  }

  /// The graph that computes its outputs from `value` as an additional last input, without what only `value` needed.
  public func cut(at value: ValueID) -> Graph {
    var result = self
    for index in result.nodes.indices {
      for slot in result.nodes[index].outputs.indices where result.nodes[index].outputs[slot] == value {
        result.nodes[index].outputs[slot] = nil
      }
    }
    result.inputs.append(value)
    result.removeDeadNodes()
    return result
  }
}
