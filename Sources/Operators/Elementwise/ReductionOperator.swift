import Glibc
import Graph
import KernelTable
import Kernels
import Support

/// The Reduce… operators: axes from an attribute or, since the opset that `axesInputVersion` names, from input 1.
struct ReductionOperator: Operator {
  private let reduction: Reduction
  private let keepsAxes: Bool
  private let skipsWithoutAxes: Bool
  private let attributeAxes: [Int]?
  private let axesFromInput: Bool

  init(_ reduction: Reduction, axesInputVersion: Int, _ node: Node) throws {
    self.reduction = reduction
    keepsAxes = try node.bool("keepdims", default: true)
    axesFromInput = node.version >= axesInputVersion
    skipsWithoutAxes = try axesFromInput && node.bool("noop_with_empty_axes", default: false)
    attributeAxes = axesFromInput ? nil : try node.ints("axes")
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x: ValueInfo = try inputs.operand(0)
    let isBool = x.type == .bool && (reduction == .maximum || reduction == .minimum)
    try x.requireType(isBool || ComputeKind(x.type).map { $0 != .bool } ?? false, "a numeric type")
    var axes = attributeAxes ?? []
    if axesFromInput, let input: ValueInfo = inputs.optionalOperand(1) {
      try input.requireType(input.type == .int64 || input.type == .int32, "int64")
      guard input.shape.count <= 1 else {
        throw Failure(.shapeMismatch, "axes are a list", actual: "\(input.shape)")
      }
      if input.shape == [0] {
        axes = []
      } else {
        guard let constant = input.constant else { return nil }
        axes = try constant.integers()
      }
    }
    guard let reduced = try reducedAxes(axes, rank: x.shape.count) else {
      return [ValueInfo(type: x.type, shape: x.shape)]
    }
    return [ValueInfo(type: x.type, shape: outputShape(x.shape, reduced))]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let result = outputs.optionalOperand(0) else { return }
    let x: Tensor = try inputs.operand(0)
    var axes = attributeAxes ?? []
    if axesFromInput, let input: Tensor = inputs.optionalOperand(1) { axes = try input.integers() }
    guard let reduced = try reducedAxes(axes, rank: x.rank) else {
      result.bytes.copyMemory(from: UnsafeRawBufferPointer(x.bytes))
      return
    }
    let plan = ReductionPlan(shape: x.shape, axes: reduced)
    if plan.reducedCount == 0, reduction == .mean, !x.type.isFloatingPoint {
      throw Failure(.outOfRange, "the mean of no integers does not exist")
    }
    switch ComputeKind(x.type) {
    case .float32?, .float64?:
      if reduction == .logSumExp {
        logSumExp(x, result, plan, context.pool)
      } else if x.type == .float32, plan.reducesRows, [.sum, .mean, .maximum].contains(reduction) {
        reduceFloatRows(x, result, plan, context.pool)
      } else {
        reduce(x, result, plan, reduction.real, context.pool)
      }
    case .int64? where reduction == .logSumExp, .uint64? where reduction == .logSumExp:
      logSumExp(x, result, plan, context.pool)
    case .int64?:
      let bound = Int64.max >> Int64(64 - x.type.bitWidth)
      reduce(x, result, plan, reduction.integer(lowest: -bound - 1, highest: bound), context.pool)
    case .uint64?:
      reduce(
        x, result, plan, reduction.integer(lowest: 0, highest: UInt64.max >> UInt64(64 - x.type.bitWidth)), context.pool
      )
    case .bool?:
      reduce(x, result, plan, reduction.integer(lowest: 0 as UInt64, highest: 1), context.pool)
    case nil: throw Failure(.internalError, "element type \(x.type) was not checked")
    }
  }

  /// The axes to reduce, or nil if the input passes unchanged.
  private func reducedAxes(_ axes: [Int], rank: Int) throws -> Set<Int>? {
    if axes.isEmpty { return skipsWithoutAxes ? nil : Set(0..<rank) }
    return Set(try axes.map { try normalizedAxis($0, rank: rank) }.filter { $0 < rank })
  }

  private func outputShape(_ shape: [Int], _ reduced: Set<Int>) -> [Int] {
    shape.indices.compactMap { !reduced.contains($0) ? shape[$0] : keepsAxes ? 1 : nil }
  }

  private func reduce<Compute: ComputeElement>(
    _ x: Tensor, _ result: Tensor, _ plan: ReductionPlan, _ reducer: Reducer<Compute>, _ pool: ThreadPool
  ) {
    let source = UnsafeRawPointer(x.rawPointer)
    let target = result.rawPointer
    let offsets = plan.reducedOffsets()
    let grain = max(1, Grain.light / max(plan.reducedCount, 1))
    pool.forRanges(plan.outputCount, grain: grain) { range in
      withChunk(of: Compute.self) { chunk in
        if plan.reducesRows {
          for output in range {
            let start = plan.start(ofKept: output)
            var total = reducer.initial
            for offset in offsets {
              forChunks(0..<plan.rowLength) { position, count in
                Compute.widen(x.type, source, at: start + offset + position, count: count, into: chunk)
                total = reducer.run(total, chunk, count)
              }
            }
            var value = reducer.finish(total, plan.reducedCount)
            Compute.narrow(x.type, &value, count: 1, into: target, at: output, rules: .standard)
          }
        } else {
          withChunk(of: Compute.self) { totals in
            forRowPieces(range, plan) { output, start, count in
              totals.update(repeating: reducer.initial, count: count)
              for offset in offsets {
                Compute.widen(x.type, source, at: start + offset, count: count, into: chunk)
                reducer.rows(totals, chunk, count)
              }
              for i in 0..<count { totals[i] = reducer.finish(totals[i], plan.reducedCount) }
              Compute.narrow(x.type, totals, count: count, into: target, at: output, rules: .standard)
            }
          }
        }
      }
    }
  }

  /// float32 sums, means and maxima of whole rows, the reductions of every normalisation and softmax.
  private func reduceFloatRows(_ x: Tensor, _ result: Tensor, _ plan: ReductionPlan, _ pool: ThreadPool) {
    let source = UnsafePointer(x.pointer(Float.self))
    let target = result.pointer(Float.self)
    let offsets = plan.reducedOffsets()
    let divisor = reduction == .mean ? Double(plan.reducedCount) : 1
    let kernels = Kernels.current
    pool.forRanges(plan.outputCount, grain: max(1, Grain.light / max(plan.reducedCount, 1))) { range in
      for output in range {
        let start = source + plan.start(ofKept: output)
        if reduction == .maximum {
          var largest = -Float.infinity
          for offset in offsets {
            let row = kernels.rowMaximum(start + offset, plan.rowLength)
            largest = largest > row || largest != largest ? largest : row
          }
          target[output] = largest
        } else {
          var total = 0.0
          for offset in offsets { total += kernels.sum(start + offset, plan.rowLength) }
          target[output] = Float(total / divisor)
        }
      }
    }
  }

  /// Pieces of at most one chunk of neighbouring results: `body(first result, its first element, count)`.
  private func forRowPieces(_ range: Range<Int>, _ plan: ReductionPlan, _ body: (Int, Int, Int) -> Void) {
    var output = range.lowerBound
    while output < range.upperBound {
      let position = output % plan.rowLength
      let count = min(plan.rowLength - position, range.upperBound - output, chunkLength)
      body(output, plan.start(ofKept: output / plan.rowLength) + position, count)
      output += count
    }
  }

  /// m + log Σ e^(x - m) with the largest element m, so that nothing overflows.
  private func logSumExp(_ x: Tensor, _ result: Tensor, _ plan: ReductionPlan, _ pool: ThreadPool) {
    let source = UnsafeRawPointer(x.rawPointer)
    let target = result.rawPointer
    let offsets = plan.reducedOffsets()
    let maximum = Reduction.maximum.real
    pool.forRanges(plan.outputCount, grain: max(1, Grain.heavy / max(plan.reducedCount, 1))) { range in
      withChunk(of: Double.self) { chunk in
        for output in range {
          // One result at a time; for kept rows an element of each reduced row.
          let start: Int
          if plan.reducesRows {
            start = plan.start(ofKept: output)
          } else {
            start = plan.start(ofKept: output / plan.rowLength) + output % plan.rowLength
          }
          let length = plan.reducesRows ? plan.rowLength : 1
          var largest = -Double.infinity
          for offset in offsets {
            forChunks(0..<length) { position, count in
              Double.widen(x.type, source, at: start + offset + position, count: count, into: chunk)
              largest = maximum.run(largest, chunk, count)
            }
          }
          var value = largest
          if largest.isFinite {
            var total = 0.0
            for offset in offsets {
              forChunks(0..<length) { position, count in
                Double.widen(x.type, source, at: start + offset + position, count: count, into: chunk)
                for i in 0..<count { total += exp(chunk[i] - largest) }
              }
            }
            value = largest + log(total)
          }
          Double.narrow(x.type, &value, count: 1, into: target, at: output, rules: .standard)
        }
      }
    }
  }
}
