// Learns how many steps a prompt deserves, with a scorer of one's own, and lets the policy decide.
// Usage: policy PIPELINE_FOLDER "a prompt" WORK_FOLDER
#include <adadiff.hpp>

#include <cstdio>
#include <cstdlib>
#include <fstream>

// A stand-in for a real judge: how much neighbouring pixels differ.
static double sharpness(const adadiff_scoring &it) {
  double sum = 0;
  const std::int32_t row = it.width * it.channels;
  for (std::int32_t y = 0; y < it.height; ++y) {
    for (std::int32_t x = it.channels; x < row; ++x) {
      sum += std::abs(int{it.pixels[y * row + x]} - int{it.pixels[y * row + x - it.channels]});
    }
  }
  return sum / (it.height * (row - it.channels));
}

int main(int argc, char **argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s PIPELINE_FOLDER PROMPT WORK_FOLDER\n", argv[0]);
    return 64;
  }
  const std::string folder = argv[3];
  try {
    std::ofstream(folder + "/prompts.txt") << "a red apple\na cat\ntwo cats and a tree\na pile of apples\n";
    const adadiff::Pipeline pipeline(argv[1]);
    adadiff::Options options;
    options.on_score(sharpness).set("collect_metrics", "host").set("collect_step_set", "1/2/4");
    options.set("train_estimator", "expected").set("train_learning_rate", 1e-3).set("train_epochs", 20);
    options.set("reward_scale", "standard");
    // Started again after an interruption, this would only make what is missing.
    adadiff::policy::collect(pipeline, folder + "/prompts.txt", folder + "/rewards.csv", options);
    adadiff::policy::train(pipeline, folder + "/rewards.csv", folder + "/policy", options);
    options.set("policy", "learned:path=" + folder + "/policy").set("seed", 42);
    std::printf("%s\n", adadiff::policy::decide(pipeline, argv[2], options).c_str());
  } catch (const adadiff::Error &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
