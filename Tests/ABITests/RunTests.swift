import CAdaDiff
import Foundation
import Glibc
import Testing

@Suite struct RunTests {
  /// What callbacks saw.
  final class Seen {
    var stages: [String] = []
    var previews = 0
    var answer: Int32 = 0
    var answerAt = -1
    var logs: [String] = []
  }

  private static let progress: adadiff_progress_callback = { progress, user in
    guard let progress, let user else { return -9 }
    let seen = Unmanaged<Seen>.fromOpaque(user).takeUnretainedValue()
    let name = String(cString: progress.pointee.stage_name)
    if seen.stages.last != name { seen.stages.append(name) }
    return progress.pointee.stage == ADADIFF_STAGE_DENOISE && Int(progress.pointee.step) == seen.answerAt
      ? seen.answer : 0
  }

  private static let preview: adadiff_preview_callback = { preview, user in
    guard let preview, let user else { return -9 }
    let seen = Unmanaged<Seen>.fromOpaque(user).takeUnretainedValue()
    seen.previews += 1
    let view = preview.pointee
    let fits = view.count == 1 && view.channels == 4 && view.height == 8 && view.width == 8
    return fits && view.latents[0].isFinite && view.predicted_original[0].isFinite ? 0 : -2
  }

  private static let log: adadiff_log_callback = { level, _, message, user in
    guard let user, let message else { return }
    Unmanaged<Seen>.fromOpaque(user).takeUnretainedValue().logs.append("\(level) \(String(cString: message))")
  }

  @Test func resultOutlivesEverythingElse() throws {
    var result: OpaquePointer?
    ABI.withSession { session, options in
      #expect(ABI.set(options, ["steps": "3", "seed": "42", "width": "32"]) == nil)
      let run = ABI.generate(session, "two red apples", options)
      #expect(run.failure == nil)
      result = run.result
    }
    #expect(adadiff_result_image_count(result) == 1)
    #expect(adadiff_result_width(result) == 32)
    #expect(adadiff_result_height(result) == 16)
    #expect(adadiff_result_channels(result) == 3)
    #expect(adadiff_result_pixels(result, 0) != nil)
    #expect(adadiff_result_pixels(result, 1) == nil)
    var dims: [Int64] = [0, 0, 0, 0]
    #expect(adadiff_result_latents(result, &dims) != nil)
    #expect(dims == [1, 4, 8, 16])
    #expect(adadiff_result_seed(result) == 42)
    #expect(ABI.string(adadiff_result_scheduler(result)) == "DDIMScheduler")
    #expect(ABI.string(adadiff_result_policy(result)) == "fixed")
    #expect(adadiff_result_policy_choice_count(result) == 0)
    #expect(adadiff_result_steps_planned(result) == 3)
    #expect(adadiff_result_steps_run(result) == 3)
    #expect(adadiff_result_network_calls(result) == 3)
    #expect(adadiff_result_step_action(result, 2) == ADADIFF_ACTION_RUN)
    #expect(adadiff_result_step_action(result, 3) == -1)
    #expect(ABI.string(adadiff_result_step_reason(result, 0)) == "every_step")
    #expect(adadiff_result_step_timestep(result, 0) == 667)
    #expect(adadiff_result_stage_ms(result, Int32(ADADIFF_STAGE_DENOISE)) > 0)
    #expect(adadiff_result_stage_ms(result, Int32(ADADIFF_STAGE_POLICY)) == -1)
    let report = try JSONSerialization.jsonObject(with: Data(ABI.string(adadiff_result_report(result)).utf8))
    #expect((report as? [String: Any])?["steps_run"] as? Int == 3)
    let file = NSTemporaryDirectory() + "/adadiff-\(UUID().uuidString).png"
    #expect(ABI.failure { adadiff_result_save_png(result, 0, file, $0) } == nil)
    #expect((try? Data(contentsOf: URL(fileURLWithPath: file)).count) ?? 0 > 100)
    try? FileManager.default.removeItem(atPath: file)
    adadiff_result_free(result)
  }

  @Test func callbacksSeeEveryStage() {
    ABI.withSession { session, options in
      let seen = Seen()
      let user = Unmanaged.passUnretained(seen).toOpaque()
      #expect(ABI.failure { adadiff_options_set_progress(options, Self.progress, user, $0) } == nil)
      #expect(ABI.failure { adadiff_options_set_preview(options, Self.preview, user, $0) } == nil)
      #expect(ABI.failure { adadiff_options_set_log(options, Self.log, user, 0, $0) } == nil)
      #expect(ABI.set(options, ["seed": "1"]) == nil)
      let run = ABI.generate(session, String(repeating: "cat ", count: 50), options)
      #expect(run.failure == nil)
      #expect(seen.stages == ["text_encode", "policy", "denoise", "decode"])
      #expect(seen.previews == Int(adadiff_result_steps_run(run.result)))
      #expect(seen.logs.contains { $0.hasPrefix("2 ") && $0.contains("tokens") })
      adadiff_result_free(run.result)

      seen.answerAt = 2
      for (answer, status) in [(1, ADADIFF_CANCELLED), (-5, ADADIFF_CALLBACK_FAILED)] as [(Int32, adadiff_status_code)]
      {
        seen.answer = answer
        seen.previews = 0
        #expect(ABI.generate(session, "a", options).failure?.status == status)
        #expect(seen.previews == 2)
      }
      seen.answerAt = -1
      let again = ABI.generate(session, "a", options)
      #expect(again.failure == nil)
      adadiff_result_free(again.result)
    }
  }

  @Test func firedTokenCancels() {
    ABI.withSession { session, options in
      let token = adadiff_cancel_token_new()
      #expect(ABI.failure { adadiff_options_set_cancel_token(options, token, $0) } == nil)
      adadiff_cancel_token_fire(token)
      #expect(ABI.generate(session, "a", options).failure?.status == ADADIFF_CANCELLED)
      #expect(ABI.failure { adadiff_options_set_cancel_token(options, nil, $0) } == nil)
      #expect(ABI.set(options, ["steps": "1"]) == nil)
      let run = ABI.generate(session, "a", options)
      #expect(run.failure == nil)
      adadiff_result_free(run.result)
      adadiff_cancel_token_release(token)
    }
  }

  @Test func tokenizing() throws {
    let pipeline = ABI.pipeline().handle
    var tensors: OpaquePointer?
    #expect(ABI.failure { adadiff_pipeline_tokenize(pipeline, "a red cat", &tensors, $0) } == nil)
    #expect(adadiff_tensors_count(tensors) == 3)
    var view = adadiff_tensor()
    #expect(ABI.failure { adadiff_tensors_get(tensors, 0, &view, $0) }?.status == ADADIFF_ABI_MISMATCH)
    view.struct_size = MemoryLayout<adadiff_tensor>.size
    #expect(ABI.failure { adadiff_tensors_get(tensors, 3, &view, $0) }?.status == ADADIFF_OUT_OF_RANGE)
    #expect(ABI.failure { adadiff_tensors_get(tensors, 2, &view, $0) } == nil)
    #expect(ABI.string(view.name) == "token_ids")
    #expect(view.rank == 1 && view.dims[0] == Int64(view.byte_count / 8))
    adadiff_tensors_free(tensors)
    adadiff_pipeline_free(pipeline)
  }

  /// Residents after many runs: what a run allocates it gives back.
  /// In a process of its own: other tests run at the same time, and their memory would count.
  @Test func manyRunsDoNotLeak() async {
    await #expect(processExitsWith: .success) {
      func residentBytes() throws -> Int {
        let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
        return (Int(text.split(separator: " ")[1]) ?? 0) * 4096
      }
      try ABI.withSession { session, options in
        #expect(ABI.set(options, ["steps": "1", "seed": "1", "width": "64", "height": "64"]) == nil)
        func many(_ count: Int) {
          for _ in 0..<count {
            adadiff_result_free(ABI.generate(session, "a cat", options).result)
            _ = ABI.generate(session, "a cat", session)
            _ = ABI.pipeline("/no/such/folder")
          }
        }
        many(30)
        let before = try residentBytes()
        many(60)
        // A leaked result alone would be 12 KiB of pixels and 16 KiB of latents per run, 1.6 MiB in all; activations far
        // more. Half of it is the allocator's own noise.
        #expect(try residentBytes() - before < 1 << 20)
      }
    }
  }
}
