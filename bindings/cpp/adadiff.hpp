// adadiff.hpp - C++17 face of adadiff.h: owners that free, exceptions instead of status codes, nothing else.
//
// Header only; link with -ladadiff. Every class is a movable owner of one C handle; `get()` gives the handle for calls
// that are not wrapped. Errors are `adadiff::Error`. An exception thrown by a callback stops the run and is rethrown by it.
#ifndef ADADIFF_HPP
#define ADADIFF_HPP

#include <adadiff.h>

#include <array>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace adadiff {

namespace detail {
template <typename Handle, void (*release)(Handle *)>
struct Release {
  void operator()(Handle *handle) const noexcept { release(handle); }
};
template <typename Handle, void (*release)(Handle *)>
using Owner = std::unique_ptr<Handle, Release<Handle, release>>;

inline std::string text(const char *value) { return value == nullptr ? std::string() : std::string(value); }
}  // namespace detail

/// A failure of the library. `what()` is one line with everything known; the fields are empty where they do not apply.
class Error : public std::runtime_error {
 public:
  explicit Error(adadiff_status status, const adadiff_error *error)
      : std::runtime_error(error == nullptr ? detail::text(adadiff_status_name(status))
                                            : detail::text(adadiff_error_description(error))),
        status(status),
        message(detail::text(adadiff_error_message(error))),
        component(detail::text(adadiff_error_component(error))),
        file(detail::text(adadiff_error_file(error))),
        node(detail::text(adadiff_error_node(error))),
        operator_type(detail::text(adadiff_error_operator(error))),
        expected(detail::text(adadiff_error_expected(error))),
        actual(detail::text(adadiff_error_actual(error))) {}

  adadiff_status status;
  std::string message, component, file, node, operator_type, expected, actual;
};

namespace detail {
/// Calls `function(arguments…, &error)` and throws what it left there.
template <typename Function, typename... Arguments>
void check(Function function, Arguments... arguments) {
  adadiff_error *raw = nullptr;
  const adadiff_status status = function(arguments..., &raw);
  const Owner<adadiff_error, adadiff_error_free> error(raw);
  if (status != ADADIFF_OK) throw Error(status, error.get());
}
}  // namespace detail

/// Stops runs: from another thread, or a signal handler through `adadiff_cancel_token_fire(token.get())`. Sticky.
class CancelToken {
 public:
  CancelToken() : handle_(adadiff_cancel_token_new()) {
    if (!handle_) throw std::bad_alloc();
  }
  void fire() noexcept { adadiff_cancel_token_fire(handle_.get()); }
  bool fired() const noexcept { return adadiff_cancel_token_fired(handle_.get()) != 0; }
  adadiff_cancel_token *get() const noexcept { return handle_.get(); }

 private:
  detail::Owner<adadiff_cancel_token, adadiff_cancel_token_release> handle_;
};

/// Named settings of a call; the names are documented at `adadiff_options` in adadiff.h.
class Options {
 public:
  /// Return false to stop the run.
  using ProgressCallback = std::function<bool(const adadiff_progress &)>;
  using PreviewCallback = std::function<bool(const adadiff_preview &)>;
  /// Returns how good the picture is: larger is better, finite.
  using ScoreCallback = std::function<double(const adadiff_scoring &)>;

  Options() : handle_(adadiff_options_new()), state_(std::make_unique<State>()) {
    if (!handle_) throw std::bad_alloc();
  }
  Options &set(const std::string &name, const std::string &value) {
    detail::check(adadiff_options_set_string, handle_.get(), name.c_str(), value.c_str());
    return *this;
  }
  Options &set(const std::string &name, const char *value) { return set(name, std::string(value)); }
  Options &set(const std::string &name, std::int64_t value) {
    detail::check(adadiff_options_set_int, handle_.get(), name.c_str(), value);
    return *this;
  }
  Options &set(const std::string &name, int value) { return set(name, std::int64_t{value}); }
  Options &set(const std::string &name, double value) {
    detail::check(adadiff_options_set_float, handle_.get(), name.c_str(), value);
    return *this;
  }
  Options &set(const std::string &name, bool value) {
    detail::check(adadiff_options_set_bool, handle_.get(), name.c_str(), std::int32_t{value});
    return *this;
  }
  Options &set(const std::string &name, const std::vector<float> &values, const std::vector<std::int64_t> &dims) {
    std::int64_t count = 1;
    for (const std::int64_t size : dims) count *= size;
    if (count != static_cast<std::int64_t>(values.size())) {
      throw std::invalid_argument("adadiff: the sizes of '" + name + "' do not match its values");
    }
    detail::check(adadiff_options_set_floats, handle_.get(), name.c_str(), values.data(), dims.data(),
                  static_cast<std::int32_t>(dims.size()));
    return *this;
  }
  Options &on_progress(ProgressCallback callback) {
    state_->progress = std::move(callback);
    detail::check(adadiff_options_set_progress, handle_.get(), &State::forward_progress,
                  static_cast<void *>(state_.get()));
    return *this;
  }
  Options &on_preview(PreviewCallback callback) {
    state_->preview = std::move(callback);
    detail::check(adadiff_options_set_preview, handle_.get(), &State::forward_preview,
                  static_cast<void *>(state_.get()));
    return *this;
  }
  /// The scorer "host" of `policy::collect`.
  Options &on_score(ScoreCallback callback) {
    state_->score = std::move(callback);
    detail::check(adadiff_options_set_scorer, handle_.get(), &State::forward_score, static_cast<void *>(state_.get()));
    return *this;
  }
  Options &cancel_with(const CancelToken &token) {
    detail::check(adadiff_options_set_cancel_token, handle_.get(), token.get());
    return *this;
  }
  adadiff_options *get() const noexcept { return handle_.get(); }
  /// Rethrows what a callback threw during the last call; used by the calls below.
  void rethrow() const {
    if (state_->exception) std::rethrow_exception(std::exchange(state_->exception, nullptr));
  }

 private:
  struct State {
    ProgressCallback progress;
    PreviewCallback preview;
    ScoreCallback score;
    std::exception_ptr exception;

    template <typename Body>
    std::int32_t answer(Body body) noexcept {
      // An exception must not unwind through the library's frames.
      try {
        return body() ? ADADIFF_CALLBACK_CONTINUE : ADADIFF_CALLBACK_STOP;
      } catch (...) {
        exception = std::current_exception();
        return ADADIFF_CALLBACK_ERROR;
      }
    }
    static std::int32_t forward_progress(const adadiff_progress *report, void *user) noexcept {
      auto *state = static_cast<State *>(user);
      return state->answer([=] { return state->progress(*report); });
    }
    static std::int32_t forward_preview(const adadiff_preview *report, void *user) noexcept {
      auto *state = static_cast<State *>(user);
      return state->answer([=] { return state->preview(*report); });
    }
    static std::int32_t forward_score(adadiff_scoring *scoring, void *user) noexcept {
      auto *state = static_cast<State *>(user);
      return state->answer([=] {
        scoring->score = state->score(*scoring);
        return true;
      });
    }
  };

  detail::Owner<adadiff_options, adadiff_options_free> handle_;
  // On the heap, so that moving the options leaves the address that the library holds.
  std::unique_ptr<State> state_;
};

namespace detail {
/// Calls `function(arguments…, options, &handle, &error)`; a callback's exception goes before the library's error.
template <typename Handle, typename Function, typename... Arguments>
Handle *make(const Options &options, Function function, Arguments... arguments) {
  Handle *handle = nullptr;
  try {
    check(function, arguments..., options.get(), &handle);
  } catch (const Error &) {
    options.rethrow();
    throw;
  }
  return handle;
}
}  // namespace detail

/// Pixels of one image: height × width × 3 bytes (red, green, blue), top row first. Valid as long as its `Result`.
struct Image {
  const std::uint8_t *pixels;
  std::int32_t width, height;
};

/// The outcome of one run.
class Result {
 public:
  explicit Result(adadiff_result *handle) : handle_(handle) {}
  std::int32_t image_count() const noexcept { return adadiff_result_image_count(get()); }
  Image image(std::int32_t index = 0) const {
    const std::uint8_t *pixels = adadiff_result_pixels(get(), index);
    if (pixels == nullptr) throw std::out_of_range("adadiff: no such image");
    return {pixels, adadiff_result_width(get()), adadiff_result_height(get())};
  }
  void save_png(const std::string &path, std::int32_t index = 0) const {
    detail::check(adadiff_result_save_png, const_cast<const adadiff_result *>(get()), index, path.c_str());
  }
  /// Final latents, row-major; `dims` (count, channels, height, width).
  const float *latents(std::array<std::int64_t, 4> &dims) const { return adadiff_result_latents(get(), dims.data()); }
  std::string report() const { return detail::text(adadiff_result_report(get())); }
  std::int64_t seed() const noexcept { return adadiff_result_seed(get()); }
  std::int32_t steps() const noexcept { return adadiff_result_steps_planned(get()); }
  std::string policy() const { return detail::text(adadiff_result_policy(get())); }
  double milliseconds() const noexcept { return adadiff_result_total_ms(get()); }
  adadiff_result *get() const noexcept { return handle_.get(); }

 private:
  detail::Owner<adadiff_result, adadiff_result_free> handle_;
};

/// Weights and settings of a diffusion pipeline. Immutable; may be shared by threads and freed before its sessions.
class Pipeline {
 public:
  explicit Pipeline(const std::string &folder, const Options &options = Options())
      : handle_(detail::make<adadiff_pipeline>(options, adadiff_pipeline_open, folder.c_str())) {}
  std::string info() const { return detail::text(adadiff_pipeline_info(get())); }
  adadiff_pipeline *get() const noexcept { return handle_.get(); }

 private:
  detail::Owner<adadiff_pipeline, adadiff_pipeline_free> handle_;
};

/// The state of one run at a time; keep it for many runs, one thread at a time.
class Session {
 public:
  explicit Session(const Pipeline &pipeline) {
    adadiff_session *session = nullptr;
    detail::check(adadiff_session_new, const_cast<const adadiff_pipeline *>(pipeline.get()), &session);
    handle_.reset(session);
  }
  Result generate(const std::string &prompt, const Options &options = Options()) {
    adadiff_result *result = nullptr;
    try {
      detail::check(adadiff_session_generate, get(), prompt.c_str(),
                    const_cast<const adadiff_options *>(options.get()), &result);
    } catch (const Error &) {
      options.rethrow();
      throw;
    }
    return Result(result);
  }
  adadiff_session *get() const noexcept { return handle_.get(); }

 private:
  detail::Owner<adadiff_session, adadiff_session_free> handle_;
};

/// Tensors that a model returned.
class Tensors {
 public:
  explicit Tensors(adadiff_tensors *handle) : handle_(handle) {}
  std::int32_t size() const noexcept { return adadiff_tensors_count(get()); }
  /// A view that lives as long as this object.
  adadiff_tensor operator[](std::int32_t index) const {
    adadiff_tensor view{};
    view.struct_size = sizeof view;
    detail::check(adadiff_tensors_get, const_cast<const adadiff_tensors *>(get()), index, &view);
    return view;
  }
  std::string report() const { return detail::text(adadiff_tensors_report(get())); }
  adadiff_tensors *get() const noexcept { return handle_.get(); }

 private:
  detail::Owner<adadiff_tensors, adadiff_tensors_free> handle_;
};

/// Any ONNX graph. Immutable; several threads may run it at once.
class Model {
 public:
  explicit Model(const std::string &path, const Options &options = Options())
      : handle_(detail::make<adadiff_model>(options, adadiff_model_open, path.c_str())) {}
  std::string info() const { return detail::text(adadiff_model_info(get())); }
  /// Runs on views of the caller's memory (found by name) and returns all outputs.
  Tensors run(const std::vector<adadiff_tensor> &inputs, const Options &options = Options()) const {
    adadiff_tensors *tensors = nullptr;
    detail::check(adadiff_model_run, const_cast<const adadiff_model *>(get()), inputs.data(),
                  static_cast<std::int32_t>(inputs.size()), static_cast<const char *const *>(nullptr), std::int32_t{0},
                  const_cast<const adadiff_options *>(options.get()), &tensors);
    return Tensors(tensors);
  }
  adadiff_model *get() const noexcept { return handle_.get(); }

 private:
  detail::Owner<adadiff_model, adadiff_model_free> handle_;
};

/// How many steps a prompt deserves: decide, collect rewards, train, compare. Every call returns its report, a JSON object;
/// settings are options (`train_epochs`, `collect_step_set`, …), documented in docs/adaptive-steps.md.
namespace policy {
namespace detail {
template <typename Function, typename... Paths>
std::string report(const Pipeline &pipeline, const Options &options, Function function, const Paths &...paths) {
  return Tensors(adadiff::detail::make<adadiff_tensors>(options, function,
                                                        const_cast<const adadiff_pipeline *>(pipeline.get()),
                                                        paths.c_str()...))
      .report();
}
}  // namespace detail

/// The steps that the policy would take for a prompt, and why; no picture is made.
inline std::string decide(const Pipeline &pipeline, const std::string &prompt, const Options &options = Options()) {
  return detail::report(pipeline, options, adadiff_policy_decide, prompt);
}
/// Makes and scores pictures of every prompt in a file (one per line) at every number of steps, into a CSV table. Rows
/// that are there are not made again.
inline std::string collect(const Pipeline &pipeline, const std::string &prompts_path, const std::string &table_path,
                           const Options &options = Options()) {
  return detail::report(pipeline, options, adadiff_policy_collect, prompts_path, table_path);
}
/// Trains a policy on a table and writes it into a folder.
inline std::string train(const Pipeline &pipeline, const std::string &table_path, const std::string &output_folder,
                         const Options &options = Options()) {
  return detail::report(pipeline, options, adadiff_policy_train, table_path, output_folder);
}
/// Compares policies on a table.
inline std::string evaluate(const Pipeline &pipeline, const std::string &table_path,
                            const Options &options = Options()) {
  return detail::report(pipeline, options, adadiff_policy_evaluate, table_path);
}
}  // namespace policy

/// A float view for `Model::run`; name, sizes and data must outlive the call.
inline adadiff_tensor view(const char *name, const std::vector<std::int64_t> &dims, std::vector<float> &data) {
  adadiff_tensor tensor{};
  tensor.struct_size = sizeof tensor;
  tensor.name = name;
  tensor.type = ADADIFF_TYPE_FLOAT32;
  tensor.rank = static_cast<std::int32_t>(dims.size());
  tensor.dims = dims.data();
  tensor.data = data.data();
  tensor.byte_count = data.size() * sizeof(float);
  return tensor;
}

}  // namespace adadiff

#endif
