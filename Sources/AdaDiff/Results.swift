import Adaptive
import CAdaDiff
import PictureFiles
import Pipelines
import Support

/// A result behind its handle, its texts as C strings.
final class ResultObject: Sendable {
  let result: GenerationResult
  let report: CText
  let scheduler: CText
  let policy: CText
  let reasons: [CText]

  init(_ result: GenerationResult) {
    self.result = result
    report = CText(result.report.json.text)
    scheduler = CText(result.report.scheduler)
    policy = CText(result.report.decision.policy)
    reasons = result.report.steps.map { CText($0.reason) }
  }
}

private func find(_ result: OpaquePointer?) -> ResultObject? { HandleTable.shared.find(result, as: ResultObject.self) }

private func step(_ result: OpaquePointer?, _ index: Int32) -> StepRecord? {
  guard let steps = find(result)?.result.report.steps, steps.indices.contains(Int(index)) else { return nil }
  return steps[Int(index)]
}

@c @implementation
public func adadiff_result_free(_ result: OpaquePointer?) { HandleTable.shared.remove(result, as: ResultObject.self) }

// MARK: Pictures

@c @implementation
public func adadiff_result_image_count(_ result: OpaquePointer?) -> Int32 {
  Int32(clamping: find(result)?.result.images.count ?? 0)
}

@c @implementation
public func adadiff_result_width(_ result: OpaquePointer?) -> Int32 {
  Int32(clamping: find(result)?.result.report.width ?? 0)
}

@c @implementation
public func adadiff_result_height(_ result: OpaquePointer?) -> Int32 {
  Int32(clamping: find(result)?.result.report.height ?? 0)
}

@c @implementation
public func adadiff_result_channels(_ result: OpaquePointer?) -> Int32 { find(result) == nil ? 0 : 3 }

@c @implementation
public func adadiff_result_pixels(_ result: OpaquePointer?, _ index: Int32) -> UnsafePointer<UInt8>? {
  guard let images = find(result)?.result.images, images.indices.contains(Int(index)) else { return nil }
  return UnsafePointer(images[Int(index)].pointer(UInt8.self))
}

@c @implementation
public func adadiff_result_save_png(
  _ result: OpaquePointer?, _ index: Int32, _ path: UnsafePointer<CChar>?, _ error: HandleSlot?
) -> adadiff_status {
  mapped(error) {
    let result = try object(result, "result", as: ResultObject.self).result
    guard result.images.indices.contains(Int(index)) else {
      throw Failure(
        .outOfRange, "image index out of range", expected: "0…\(result.images.count - 1)", actual: "\(index)")
    }
    let image = result.images[Int(index)]
    let bytes = try withExtendedLifetime(image) {
      try PNGFile.encode(
        pixels: UnsafeBufferPointer(image.buffer(UInt8.self)), width: result.report.width,
        height: result.report.height)
    }
    try FileBytes.write(bytes, to: text(path, "path"))
  }
}

@c @implementation
public func adadiff_result_latents(_ result: OpaquePointer?, _ dims: UnsafeMutablePointer<Int64>?) -> UnsafePointer<
  Float
>? {
  guard let latents = find(result)?.result.latents else { return nil }
  if let dims {
    for (axis, size) in latents.shape.enumerated() where axis < 4 { dims[axis] = Int64(size) }
  }
  return UnsafePointer(latents.pointer(Float.self))
}

// MARK: Report

@c @implementation
public func adadiff_result_report(_ result: OpaquePointer?) -> UnsafePointer<CChar>? { find(result)?.report.pointer }

@c @implementation
public func adadiff_result_seed(_ result: OpaquePointer?) -> Int64 {
  find(result).map { Int64(clamping: $0.result.report.seed) } ?? -1
}

@c @implementation
public func adadiff_result_scheduler(_ result: OpaquePointer?) -> UnsafePointer<CChar>? {
  find(result)?.scheduler.pointer
}

@c @implementation
public func adadiff_result_steps_planned(_ result: OpaquePointer?) -> Int32 {
  Int32(clamping: find(result)?.result.report.decision.steps ?? 0)
}

@c @implementation
public func adadiff_result_steps_run(_ result: OpaquePointer?) -> Int32 {
  Int32(clamping: find(result)?.result.report.steps.count ?? 0)
}

@c @implementation
public func adadiff_result_network_calls(_ result: OpaquePointer?) -> Int32 {
  Int32(clamping: find(result)?.result.report.networkCalls ?? 0)
}

@c @implementation
public func adadiff_result_step_action(_ result: OpaquePointer?, _ index: Int32) -> Int32 {
  step(result, index)?.action.rawValue ?? -1
}

@c @implementation
public func adadiff_result_step_reason(_ result: OpaquePointer?, _ index: Int32) -> UnsafePointer<CChar>? {
  guard let reasons = find(result)?.reasons, reasons.indices.contains(Int(index)) else { return nil }
  return reasons[Int(index)].pointer
}

@c @implementation
public func adadiff_result_step_timestep(_ result: OpaquePointer?, _ index: Int32) -> Double {
  step(result, index)?.timestep ?? -1
}

@c @implementation
public func adadiff_result_step_ms(_ result: OpaquePointer?, _ index: Int32) -> Double {
  step(result, index)?.milliseconds ?? -1
}

@c @implementation
public func adadiff_result_stage_ms(_ result: OpaquePointer?, _ stage: Int32) -> Double {
  guard let stage = Stage(rawValue: stage) else { return -1 }
  return find(result)?.result.report.stageMilliseconds[stage] ?? -1
}

@c @implementation
public func adadiff_result_total_ms(_ result: OpaquePointer?) -> Double {
  find(result)?.result.report.totalMilliseconds ?? -1
}

@c @implementation
public func adadiff_result_policy(_ result: OpaquePointer?) -> UnsafePointer<CChar>? { find(result)?.policy.pointer }

@c @implementation
public func adadiff_result_policy_choice_count(_ result: OpaquePointer?) -> Int32 {
  Int32(clamping: find(result)?.result.report.decision.choices.count ?? 0)
}

@c @implementation
public func adadiff_result_policy_choice(_ result: OpaquePointer?, _ index: Int32) -> Int32 {
  guard let choices = find(result)?.result.report.decision.choices, choices.indices.contains(Int(index)) else {
    return -1
  }
  return Int32(clamping: choices[Int(index)])
}

@c @implementation
public func adadiff_result_policy_probability(_ result: OpaquePointer?, _ index: Int32) -> Double {
  guard let all = find(result)?.result.report.decision.probabilities, all.indices.contains(Int(index)) else {
    return -1
  }
  return all[Int(index)]
}
