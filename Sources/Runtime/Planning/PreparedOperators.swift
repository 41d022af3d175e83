import Graph
import Operators
import Support
import Synchronization

/// Prepared operators (packed weights) that plans of one model share.
///
/// Sharing needs the same operator with the same attributes on the same constants of the file. Constants are told apart by
/// their address, which is safe for those that the model keeps alive (`stable`); others are never shared.
final class PreparedOperators: @unchecked Sendable {
  private let stable: Set<UInt>
  private struct Contents: @unchecked Sendable { var operators: [String: any Operator] = [:] }
  private let contents = Mutex(Contents())

  init(constants: some Sequence<Tensor>) {
    stable = Set(constants.compactMap { $0.bytes.baseAddress.map { UInt(bitPattern: $0) } })
  }

  /// The operator prepared for `inputs`, or itself when there is nothing to prepare.
  func prepare(
    _ implementation: any Operator, node: Node, inputs: [ValueInfo?], threads: Int
  ) throws -> any Operator {
    let key = key(implementation, node, inputs, threads)
    if let key {
      if let known = contents.withLock({ $0.operators[key] }) { return known }
      // Weights are about to be packed.
      for input in inputs { forPages(of: input) { $0.populatePages(in: $1) } }
    }
    guard let prepared = try implementation.prepared(for: inputs, threads: threads) else { return implementation }
    dropPages(of: prepared, inputs)
    guard let key else { return prepared }
    // Another thread may have been faster with the same weights; then its copy is the one to keep.
    return contents.withLock { contents in
      if let known = contents.operators[key] { return known }
      contents.operators[key] = prepared
      return prepared
    }
  }

  /// Packed weights make the mapped file's pages superfluous; other plans would read them from the file again.
  private func dropPages(of prepared: any Operator, _ inputs: [ValueInfo?]) {
    for slot in prepared.consumedInputs where inputs.indices.contains(slot) {
      forPages(of: inputs[slot]) { $0.dropPages(in: $1) }
    }
  }

  /// Calls `body` with the place of a constant in its mapped file, if it lies in one.
  private func forPages(of input: ValueInfo?, _ body: (MappedFile, Range<Int>) -> Void) {
    guard let constant = input?.constant, let file = constant.owner as? MappedFile,
      let start = constant.bytes.baseAddress, let base = file.bytes.baseAddress
    else { return }
    let offset = UnsafeRawPointer(start) - base
    body(file, offset..<(offset + constant.bytes.count))
  }

  private func key(_ implementation: any Operator, _ node: Node, _ inputs: [ValueInfo?], _ threads: Int) -> String? {
    guard let own = implementation.preparationKey(for: inputs, threads: threads) else { return nil }
    var key = "\(node.domain):\(node.operatorType):\(node.version)|\(own)"
    for (name, attribute) in node.attributes.sorted(by: { $0.key < $1.key }) {
      switch attribute {
      case .int(let value): key += "|\(name)=\(value)"
      case .float(let value): key += "|\(name)=\(value.bitPattern)"
      case .string(let value): key += "|\(name)=\(value)"
      case .ints(let values): key += "|\(name)=\(values)"
      case .floats(let values): key += "|\(name)=\(values.map(\.bitPattern))"
      default: return nil
      }
    }
    for input in inputs {
      guard let constant = input?.constant else {
        key += input.map { "|\($0.type)" } ?? "|-"
        continue
      }
      guard let address = constant.bytes.baseAddress.map({ UInt(bitPattern: $0) }), stable.contains(address) else {
        return nil
      }
      key += "|\(address):\(constant.type):\(constant.shape)"
    }
    return key
  }
}
