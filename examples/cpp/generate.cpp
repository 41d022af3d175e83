// A picture from a prompt, in C++17. Usage: generate PIPELINE_FOLDER "a prompt" picture.png
#include <adadiff.hpp>

#include <cstdio>

int main(int argc, char **argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s PIPELINE_FOLDER PROMPT PICTURE.png\n", argv[0]);
    return 64;
  }
  try {
    adadiff::Pipeline pipeline(argv[1]);
    adadiff::Session session(pipeline);
    adadiff::Options options;
    options.set("steps", "auto").set("seed", 42);
    const adadiff::Result result = session.generate(argv[2], options);
    result.save_png(argv[3]);
    const adadiff::Image image = result.image();
    std::printf("%s: %d x %d pixels, %d steps (%s), %.0f ms\n", argv[3], image.width, image.height, result.steps(),
                result.policy().c_str(), result.milliseconds());
  } catch (const adadiff::Error &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
