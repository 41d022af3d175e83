// The C++ face, instantiated: templates are checked only where they are used.
#include <adadiff.hpp>
#include <adadiff.hpp>

#include <type_traits>

static_assert(std::is_nothrow_move_constructible_v<adadiff::Pipeline> && !std::is_copy_constructible_v<adadiff::Pipeline>);
static_assert(std::is_nothrow_move_constructible_v<adadiff::Options> && !std::is_copy_constructible_v<adadiff::Options>);

void every_call() {
  adadiff::CancelToken token;
  adadiff::Options options;
  options.set("steps", 20).set("steps", "auto").set("guidance_scale", 7.5).set("decode", true);
  options.set("latents", {0.0f}, {1, 1, 1, 1}).cancel_with(token);
  options.on_progress([](const adadiff_progress &) { return true; });
  options.on_preview([](const adadiff_preview &) { return true; });
  adadiff::Pipeline pipeline("folder", options);
  adadiff::Result result = adadiff::Session(pipeline).generate("prompt", options);
  result.save_png("picture.png");
  std::array<std::int64_t, 4> dims;
  result.latents(dims);
  std::vector<float> data{0.0f};
  const std::vector<std::int64_t> shape{1};
  adadiff::Tensors tensors = adadiff::Model("model.onnx").run({adadiff::view("x", shape, data)});
  tensors[0];
}
