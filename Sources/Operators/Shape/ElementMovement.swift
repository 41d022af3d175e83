import Graph
import Support

/// A computation that only moves elements: written once, run for every element size and for strings.
///
/// `Element` is an unsigned integer of the element's width, or String. Offsets and counts are in elements.
protocol ElementMovement {
  func move<Element>(_ sources: [UnsafePointer<Element>], _ destinations: [UnsafeMutablePointer<Element>])
}

/// Runs `movement` on tensors that all have one element type. Elements of 4 bits travel as bytes.
func moveElements(_ movement: some ElementMovement, from sources: [Tensor], to destinations: [Tensor]) throws(Failure) {
  guard let type = destinations.first?.type else { return }
  guard (sources + destinations).allSatisfy({ $0.type == type }) else {
    throw Failure(.internalError, "elements of different types cannot be moved together")
  }
  switch type.bitWidth {
  case 8: move(movement, as: UInt8.self, sources, destinations)
  case 16: move(movement, as: UInt16.self, sources, destinations)
  case 32: move(movement, as: UInt32.self, sources, destinations)
  case 64: move(movement, as: UInt64.self, sources, destinations)
  case 128: move(movement, as: SIMD2<UInt64>.self, sources, destinations)
  case 4: moveHalfBytes(movement, sources, destinations)
  default: moveStrings(movement, sources, destinations)
  }
}

@inline(__always)
private func move<Element: BitwiseCopyable>(
  _ movement: some ElementMovement, as _: Element.Type, _ sources: [Tensor], _ destinations: [Tensor]
) {
  movement.move(
    sources.map { UnsafePointer($0.pointer(Element.self)) }, destinations.map { $0.pointer(Element.self) })
}

private func moveHalfBytes(_ movement: some ElementMovement, _ sources: [Tensor], _ destinations: [Tensor]) {
  let unpacked = sources.map { source in
    let block = UnsafeMutablePointer<UInt8>.allocate(capacity: source.count + 1)
    for index in 0..<source.count {
      let byte = source.pointer(UInt8.self)[index / 2]
      block[index] = index % 2 == 0 ? byte & 15 : byte >> 4
    }
    return block
  }
  let results = destinations.map { UnsafeMutablePointer<UInt8>.allocate(capacity: $0.count + 1) }
  defer { for block in unpacked + results { block.deallocate() } }
  movement.move(unpacked.map { UnsafePointer($0) }, results)
  for (destination, block) in zip(destinations, results) {
    let count = destination.count
    block[count] = 0
    for index in stride(from: 0, to: count, by: 2) {
      destination.pointer(UInt8.self)[index / 2] = block[index] & 15 | block[index + 1] << 4
    }
  }
}

private func moveStrings(_ movement: some ElementMovement, _ sources: [Tensor], _ destinations: [Tensor]) {
  let inputs = sources.map { source in
    let elements = source.strings
    let block = UnsafeMutableBufferPointer<String>.allocate(capacity: elements.count)
    _ = block.initialize(from: elements)
    return block
  }
  let outputs = destinations.map { destination in
    let block = UnsafeMutableBufferPointer<String>.allocate(capacity: destination.count)
    block.initialize(repeating: "")
    return block
  }
  defer {
    for block in inputs + outputs {
      block.deinitialize()
      block.deallocate()
    }
  }
  let somewhere = UnsafeMutablePointer<String>.allocate(capacity: 1)
  defer { somewhere.deallocate() }
  movement.move(inputs.map { UnsafePointer($0.baseAddress ?? somewhere) }, outputs.map { $0.baseAddress ?? somewhere })
  for (destination, block) in zip(destinations, outputs) { destination.strings = Array(block) }
}

/// Copies all elements from the first tensor to another with the same number of elements.
func copyElements(from source: Tensor, to destination: Tensor) throws(Failure) {
  guard source.type == destination.type, source.count == destination.count else {
    throw Failure(
      .internalError, "tensors differ", expected: "\(destination.type) \(destination.shape)",
      actual: "\(source.type) \(source.shape)")
  }
  if source.type == .string {
    destination.strings = source.strings
  } else if source.bytes.baseAddress != destination.bytes.baseAddress, source.bytes.count > 0 {
    destination.bytes.copyMemory(from: UnsafeRawBufferPointer(source.bytes))
  }
}
