import Graph
import Support

/// Applies rows to whole tensors: the one place where broadcasting, threads and narrow element types meet.
enum BinaryRun {
  /// Both inputs are stored in the compute type.
  static func direct<Element: BitwiseCopyable, Result: BitwiseCopyable>(
    _ row: BinaryRow<Element, Result>, _ broadcast: Broadcast, _ a: Tensor, _ b: Tensor, _ result: Tensor,
    pool: ThreadPool, grain: Int
  ) {
    let first = UnsafePointer(a.pointer(Element.self))
    let second = UnsafePointer(b.pointer(Element.self))
    let target = result.pointer(Result.self)
    pool.forRanges(broadcast.count, grain: grain) { range in
      broadcast.forEachRow(range) { offset, inputs, count in
        row(
          first + inputs.0, broadcast.rowStrides[0], second + inputs.1, broadcast.rowStrides[1], target + offset, count)
      }
    }
  }

  /// Inputs and result are converted through the compute type a chunk at a time.
  static func converted<Compute: ComputeElement>(
    _ row: BinaryRow<Compute, Compute>, _ broadcast: Broadcast, _ a: Tensor, _ b: Tensor, _ result: Tensor,
    pool: ThreadPool
  ) {
    let target = result.rawPointer
    convertedRows(row, broadcast, a, b, pool: pool) { chunk, offset, count in
      Compute.narrow(result.type, chunk, count: count, into: target, at: offset, rules: .standard)
    }
  }

  /// The same for comparisons, whose results are bytes.
  static func compared<Compute: ComputeElement>(
    _ row: BinaryRow<Compute, UInt8>, _ broadcast: Broadcast, _ a: Tensor, _ b: Tensor, _ result: Tensor,
    pool: ThreadPool
  ) {
    let target = result.pointer(UInt8.self)
    convertedRows(row, broadcast, a, b, pool: pool) { chunk, offset, count in
      (target + offset).update(from: chunk, count: count)
    }
  }

  private static func convertedRows<Compute: ComputeElement, Result: BitwiseCopyable>(
    _ row: BinaryRow<Compute, Result>, _ broadcast: Broadcast, _ a: Tensor, _ b: Tensor, pool: ThreadPool,
    _ store: (UnsafePointer<Result>, Int, Int) -> Void
  ) {
    let first = UnsafeRawPointer(a.rawPointer)
    let second = UnsafeRawPointer(b.rawPointer)
    let (stepA, stepB) = (broadcast.rowStrides[0], broadcast.rowStrides[1])
    pool.forRanges(broadcast.count, grain: Grain.heavy) { range in
      withChunk(of: Compute.self) { chunkA in
        withChunk(of: Compute.self) { chunkB in
          withChunk(of: Result.self) { chunkResult in
            broadcast.forEachRow(range) { offset, inputs, count in
              forChunks(0..<count) { start, length in
                Compute.widen(
                  a.type, first, at: inputs.0 + start * stepA, count: stepA == 0 ? 1 : length, into: chunkA)
                Compute.widen(
                  b.type, second, at: inputs.1 + start * stepB, count: stepB == 0 ? 1 : length, into: chunkB)
                row(chunkA, stepA, chunkB, stepB, chunkResult, length)
                store(chunkResult, offset + start, length)
              }
            }
          }
        }
      }
    }
  }

  /// Runs `function` on tensors of any numeric type, computing in `kind`. The function must be defined for it.
  static func apply(
    _ function: BinaryFunction, kind: ComputeKind, _ broadcast: Broadcast, _ a: Tensor, _ b: Tensor, _ result: Tensor,
    pool: ThreadPool, grain: Int = Grain.light
  ) throws(Failure) {
    let same = a.type == b.type && b.type == result.type
    switch kind {
    case .float32:
      guard let row = function.float32 else { break }
      return same && a.type == .float32
        ? direct(row, broadcast, a, b, result, pool: pool, grain: grain)
        : converted(row, broadcast, a, b, result, pool: pool)
    case .float64:
      guard let row = function.float64 else { break }
      return same && a.type == .float64
        ? direct(row, broadcast, a, b, result, pool: pool, grain: grain)
        : converted(row, broadcast, a, b, result, pool: pool)
    case .int64:
      guard let row = function.int64 else { break }
      return same && a.type == .int64
        ? direct(row, broadcast, a, b, result, pool: pool, grain: grain)
        : converted(row, broadcast, a, b, result, pool: pool)
    case .uint64:
      guard let row = function.uint64 else { break }
      return same && a.type == .uint64
        ? direct(row, broadcast, a, b, result, pool: pool, grain: grain)
        : converted(row, broadcast, a, b, result, pool: pool)
    case .bool:
      guard let row = function.bool else { break }
      return direct(row, broadcast, a, b, result, pool: pool, grain: grain)
    }
    throw Failure(.internalError, "the operation is not defined for \(a.type)")
  }

  /// Compares tensors of one type.
  static func compare(
    _ function: ComparisonFunction, _ broadcast: Broadcast, _ a: Tensor, _ b: Tensor, _ result: Tensor,
    pool: ThreadPool
  ) throws(Failure) {
    if a.type == .string, let equal = function.string {
      let (first, second) = (a.strings, b.strings)
      let target = result.pointer(UInt8.self)
      guard first.count == a.count, second.count == b.count else {
        throw Failure(.internalError, "string tensors without their elements")
      }
      broadcast.forEachRow(0..<broadcast.count) { offset, inputs, count in
        for i in 0..<count {
          let x = first[inputs.0 + i * broadcast.rowStrides[0]]
          let y = second[inputs.1 + i * broadcast.rowStrides[1]]
          target[offset + i] = equal(x, y) ? 1 : 0
        }
      }
      return
    }
    let grain = Grain.light
    switch ComputeKind(a.type) {
    case .float32?:
      guard let row = function.float32 else { break }
      return a.type == .float32
        ? direct(row, broadcast, a, b, result, pool: pool, grain: grain)
        : compared(row, broadcast, a, b, result, pool: pool)
    case .float64?:
      guard let row = function.float64 else { break }
      return direct(row, broadcast, a, b, result, pool: pool, grain: grain)
    case .int64?:
      guard let row = function.int64 else { break }
      return a.type == .int64
        ? direct(row, broadcast, a, b, result, pool: pool, grain: grain)
        : compared(row, broadcast, a, b, result, pool: pool)
    case .uint64?:
      guard let row = function.uint64 else { break }
      return a.type == .uint64
        ? direct(row, broadcast, a, b, result, pool: pool, grain: grain)
        : compared(row, broadcast, a, b, result, pool: pool)
    case .bool?:
      guard let row = function.bool else { break }
      return direct(row, broadcast, a, b, result, pool: pool, grain: grain)
    case nil: break
    }
    throw Failure(.internalError, "the comparison is not defined for \(a.type)")
  }
}
