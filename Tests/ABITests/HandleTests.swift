import CAdaDiff
import Foundation
import Testing

@Suite struct HandleTests {
  @Test func nullAndFreedAndForeignHandlesAreRecognised() {
    let options = adadiff_options_new()
    #expect(options != nil)
    let token = adadiff_cancel_token_new()
    let foreign = OpaquePointer(bitPattern: 0x7FFF_DEAD_BEE8)
    for (name, handle) in [("NULL", nil), ("a token", token), ("a number", foreign)] {
      let failure = ABI.failure { adadiff_options_set_int(handle, "steps", 5, $0) }
      #expect(failure?.status == ADADIFF_INVALID_ARGUMENT, "\(name)")
      #expect(failure?.message.contains("'options'") == true)
      adadiff_options_free(handle)
      adadiff_pipeline_free(handle)
      adadiff_session_free(handle)
      adadiff_model_free(handle)
      adadiff_result_free(handle)
      adadiff_tensors_free(handle)
      adadiff_error_free(handle)
    }
    #expect(ABI.failure { adadiff_options_set_int(options, "steps", 5, $0) } == nil)
    adadiff_options_free(options)
    adadiff_options_free(options)
    #expect(ABI.failure { adadiff_options_set_int(options, "steps", 5, $0) }?.status == ADADIFF_INVALID_ARGUMENT)
    // A new object never revives an old handle.
    let other = adadiff_options_new()
    #expect(ABI.failure { adadiff_options_set_int(options, "steps", 5, $0) }?.status == ADADIFF_INVALID_ARGUMENT)
    adadiff_options_free(other)
    adadiff_cancel_token_release(token)
  }

  @Test func gettersOfDeadHandlesAreNeutral() {
    #expect(adadiff_result_image_count(nil) == 0)
    #expect(adadiff_result_pixels(nil, 0) == nil)
    #expect(adadiff_result_latents(nil, nil) == nil)
    #expect(adadiff_result_report(nil) == nil)
    #expect(adadiff_result_seed(nil) == -1)
    #expect(adadiff_result_step_action(nil, 0) == -1)
    #expect(adadiff_model_input_count(nil) == 0)
    #expect(adadiff_model_input_name(nil, 0) == nil)
    #expect(adadiff_tensors_count(nil) == 0)
    #expect(adadiff_error_status(nil) == ADADIFF_INVALID_ARGUMENT)
    #expect(ABI.string(adadiff_error_message(nil)) == "")
    #expect(adadiff_error_node(nil) == nil)
    #expect(adadiff_pipeline_info(nil) == nil)
  }

  @Test func cancelTokensCountReferencesAndStayFired() {
    let token = adadiff_cancel_token_new()
    #expect(adadiff_cancel_token_fired(token) == 0)
    #expect(adadiff_cancel_token_retain(token) == token)
    adadiff_cancel_token_fire(token)
    adadiff_cancel_token_release(token)
    #expect(adadiff_cancel_token_fired(token) == 1)
    adadiff_cancel_token_release(token)
    // Dead now; its slot may serve a new token, which the old handle does not reach.
    #expect(adadiff_cancel_token_fired(token) == 0)
    #expect(adadiff_cancel_token_retain(token) == nil)
    let next = adadiff_cancel_token_new()
    adadiff_cancel_token_fire(token)
    #expect(adadiff_cancel_token_fired(next) == 0)
    adadiff_cancel_token_release(next)
  }

  @Test func optionsKeepTheirTokenAlive() {
    let options = adadiff_options_new()
    let token = adadiff_cancel_token_new()
    #expect(ABI.failure { adadiff_options_set_cancel_token(options, token, $0) } == nil)
    adadiff_cancel_token_release(token)
    adadiff_cancel_token_fire(token)
    #expect(adadiff_cancel_token_fired(token) == 1)
    adadiff_options_free(options)
    #expect(adadiff_cancel_token_retain(token) == nil)
  }

  @Test func versionsAgree() {
    #expect(adadiff_abi_version() == ADADIFF_ABI_VERSION)
    #expect(ABI.failure { adadiff_abi_check(ADADIFF_ABI_VERSION, $0) } == nil)
    #expect(ABI.failure { adadiff_abi_check(ADADIFF_ABI_VERSION + 1, $0) }?.status == ADADIFF_ABI_MISMATCH)
    #expect(ABI.string(adadiff_status_name(11)) == "CANCELLED")
    #expect(ABI.string(adadiff_status_name(99)) == "UNKNOWN")
    #expect(ABI.string(adadiff_build_info()).hasPrefix("{"))
  }

  @Test func everyListHasItsNames() {
    for list in 0...5 {
      let count = adadiff_list_count(Int32(list))
      #expect(count > 0)
      for index in 0..<count { #expect(!ABI.string(adadiff_list_name(Int32(list), index)).isEmpty) }
      #expect(adadiff_list_name(Int32(list), count) == nil)
      #expect(adadiff_list_name(Int32(list), -1) == nil)
    }
    #expect(adadiff_list_count(6) == 0)
    #expect(adadiff_list_count(-1) == 0)
  }

  @Test func everyOptionIsDescribedAndResettable() {
    let options = adadiff_options_new()
    for index in 0..<adadiff_list_count(Int32(ADADIFF_LIST_OPTIONS)) {
      let name = ABI.string(adadiff_list_name(Int32(ADADIFF_LIST_OPTIONS), index))
      var info = adadiff_option_info()
      #expect(ABI.failure { adadiff_option_describe(name, &info, $0) }?.status == ADADIFF_ABI_MISMATCH)
      info.struct_size = MemoryLayout<adadiff_option_info>.size
      #expect(ABI.failure { adadiff_option_describe(name, &info, $0) } == nil)
      #expect(!ABI.string(info.documentation).isEmpty)
      #expect(ABI.failure { adadiff_options_reset(options, name, $0) } == nil)
      // The text form of a default is itself a legal value.
      if info.type != ADADIFF_OPTION_FLOATS {
        #expect(ABI.failure { adadiff_options_set_string(options, name, info.default_text, $0) } == nil, "\(name)")
      }
    }
    adadiff_options_free(options)
  }
}
