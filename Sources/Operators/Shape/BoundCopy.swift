import Graph
import Support

/// An operator that copies elements (Slice, Expand, Transpose, …), bound to its inputs' shapes: the walk is worked out.
struct BoundCopy: Operator {
  let copy: StridedCopy
  let output: ValueInfo

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? { [output] }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    let copy = copy.on(context.pool)
    func move<Element: BitwiseCopyable>(_: Element.Type) {
      copy.run(from: data.pointer(Element.self), to: output.pointer(Element.self))
    }
    switch output.type.bitWidth {
    case 8: move(UInt8.self)
    case 16: move(UInt16.self)
    case 32: move(UInt32.self)
    case 64: move(UInt64.self)
    default: try moveElements(copy, from: [data], to: [output])
    }
  }
}
