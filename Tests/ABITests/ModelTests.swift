import CAdaDiff
import Foundation
import Testing

/// The generic model interface, on the policy network of the tiny pipeline: two inputs, one output.
@Suite struct ModelTests {
  private static let path = ABI.tiny + "/policy/policy.onnx"
  private let model: OpaquePointer?

  init() {
    var model: OpaquePointer?
    _ = adadiff_model_open(Self.path, nil, &model, nil)
    self.model = model
  }

  /// Calls `body` with views of hidden states (1, 4, 32) and a mask (1, 4).
  private func withInputs(_ body: (inout [adadiff_tensor]) -> Void) {
    var hidden = (0..<128).map { Float($0) / 128 }
    var mask: [Int64] = [1, 1, 1, 0]
    let hiddenDims: [Int64] = [1, 4, 32]
    let maskDims: [Int64] = [1, 4]
    "last_hidden_state".withCString { hiddenName in
      "attention_mask".withCString { maskName in
        hiddenDims.withUnsafeBufferPointer { hiddenDims in
          maskDims.withUnsafeBufferPointer { maskDims in
            hidden.withUnsafeMutableBytes { hidden in
              mask.withUnsafeMutableBytes { mask in
                var views = [
                  adadiff_tensor(
                    struct_size: MemoryLayout<adadiff_tensor>.size, name: hiddenName, type: 1, rank: 3,
                    dims: hiddenDims.baseAddress, data: hidden.baseAddress, byte_count: hidden.count),
                  adadiff_tensor(
                    struct_size: MemoryLayout<adadiff_tensor>.size, name: maskName, type: 7, rank: 2,
                    dims: maskDims.baseAddress, data: mask.baseAddress, byte_count: mask.count),
                ]
                body(&views)
              }
            }
          }
        }
      }
    }
  }

  @Test func describesItsPorts() throws {
    #expect(adadiff_model_input_count(model) == 2)
    #expect(ABI.string(adadiff_model_input_name(model, 0)) == "last_hidden_state")
    #expect(adadiff_model_input_type(model, 0) == ADADIFF_TYPE_FLOAT32)
    #expect(adadiff_model_input_type(model, 1) == ADADIFF_TYPE_INT64)
    #expect(adadiff_model_input_rank(model, 0) == 3)
    #expect(adadiff_model_input_dim(model, 0, 0) == -1)
    #expect(ABI.string(adadiff_model_input_dim_name(model, 0, 0)) == "batch")
    #expect(adadiff_model_input_dim(model, 0, 2) == 32)
    #expect(adadiff_model_input_dim_name(model, 0, 2) == nil)
    #expect(adadiff_model_input_rank(model, 9) == -1)
    #expect(adadiff_model_output_count(model) == 1)
    #expect(ABI.string(adadiff_model_output_name(model, 0)) == "logits")
    let info =
      try JSONSerialization.jsonObject(with: Data(ABI.string(adadiff_model_info(model)).utf8)) as? [String: Any]
    #expect(info?["parameters"] as? Int ?? 0 >= 32 * 4)
    adadiff_model_free(model)
  }

  @Test func bothFormsOfRunAgree() {
    withInputs { views in
      var results: OpaquePointer?
      #expect(ABI.failure { adadiff_model_run(model, views, 2, nil, 0, nil, &results, $0) } == nil)
      var view = adadiff_tensor()
      view.struct_size = MemoryLayout<adadiff_tensor>.size
      #expect(ABI.failure { adadiff_tensors_get(results, 0, &view, $0) } == nil)
      #expect(view.rank == 2 && view.dims[1] == 4 && view.byte_count == 16)
      let first = view.data.map { Array(UnsafeRawBufferPointer(start: $0, count: 16)) }
      var buffer = [Float](repeating: 0, count: 4)
      buffer.withUnsafeMutableBytes { bytes in
        view.data = bytes.baseAddress
        #expect(ABI.failure { adadiff_model_run_into(model, views, 2, &view, 1, nil, $0) } == nil)
        #expect(first == Array(bytes))
        view.rank = 1
        let dims: [Int64] = [4]
        dims.withUnsafeBufferPointer { dims in
          view.dims = dims.baseAddress
          let failure = ABI.failure { adadiff_model_run_into(model, views, 2, &view, 1, nil, $0) }
          #expect(failure?.status == ADADIFF_SHAPE_MISMATCH && failure?.text.contains("logits") == true)
        }
      }
      adadiff_tensors_free(results)
    }
    adadiff_model_free(model)
  }

  @Test func memoryEqualsFile() throws {
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: Self.path)))
    var other: OpaquePointer?
    var half: OpaquePointer?
    let whole = ABI.failure { adadiff_model_open_memory(bytes, bytes.count, nil, nil, &other, $0) }
    #expect(whole == nil)
    let truncated = ABI.failure { adadiff_model_open_memory(bytes, bytes.count / 2, nil, nil, &half, $0) }
    #expect(truncated?.status == ADADIFF_CORRUPT)
    #expect(adadiff_model_input_count(other) == 2)
    adadiff_model_free(other)
    adadiff_model_free(model)
  }

  @Test func wrongInputsAreNamed() {
    func fail(_ change: (inout [adadiff_tensor]) -> Void, count: Int32 = 2) -> CallFailure? {
      var failure: CallFailure?
      withInputs { views in
        change(&views)
        var results: OpaquePointer?
        failure = ABI.failure { adadiff_model_run(model, views, count, nil, 0, nil, &results, $0) }
        adadiff_tensors_free(results)
      }
      return failure
    }
    let other = strdup("other")
    defer { free(other) }
    let cases: [(CallFailure?, adadiff_status_code, String)] = [
      (fail { $0[0].struct_size = 8 }, ADADIFF_ABI_MISMATCH, "struct_size"),
      (fail { $0[1].struct_size += 8 }, ADADIFF_ABI_MISMATCH, "struct_size"),
      (fail { $0[0].name = UnsafePointer(other) }, ADADIFF_UNKNOWN_NAME, "other"),
      (fail { $0[0].name = nil }, ADADIFF_INVALID_ARGUMENT, "name"),
      (fail { $0[1].name = $0[0].name }, ADADIFF_INVALID_ARGUMENT, "twice"),
      (fail({ _ in }, count: 1), ADADIFF_INVALID_ARGUMENT, "attention_mask"),
      (fail({ _ in }, count: -1), ADADIFF_OUT_OF_RANGE, "inputs"),
      (fail { $0[0].type = 99 }, ADADIFF_TYPE_MISMATCH, "99"),
      (fail { $0[0].type = 6 }, ADADIFF_TYPE_MISMATCH, "last_hidden_state"),
      (fail { $0[0].rank = 9 }, ADADIFF_OUT_OF_RANGE, "rank"),
      (fail { $0[0].dims = nil }, ADADIFF_INVALID_ARGUMENT, "dims"),
      (fail { $0[0].data = nil }, ADADIFF_INVALID_ARGUMENT, "data"),
      (fail { $0[0].byte_count -= 4 }, ADADIFF_SHAPE_MISMATCH, "byte_count"),
      (
        fail {
          $0[0].rank = 0; $0[0].byte_count = 4
        }, ADADIFF_SHAPE_MISMATCH, "last_hidden_state"
      ),
    ]
    for (failure, status, word) in cases {
      #expect(failure?.status == status, "\(word): \(failure.map(String.init(describing:)) ?? "success")")
      #expect(failure?.text.contains(word) == true, "\(word): \(failure?.text ?? "")")
    }
    adadiff_model_free(model)
  }
}
