// What a run is doing, as it happens. Usage: progress PIPELINE_FOLDER "a prompt"
#include <adadiff.hpp>

#include <cstdio>

int main(int argc, char **argv) {
  if (argc != 3) return 64;
  try {
    adadiff::Options options;
    // Callbacks run on this thread. Returning false stops the run; an exception stops it and is thrown by the call.
    options.set("steps", 4).on_progress([](const adadiff_progress &progress) {
      std::printf("%8.1f ms  %-12s %lld/%lld  %s\n", progress.elapsed_ms, progress.stage_name,
                  static_cast<long long>(progress.step), static_cast<long long>(progress.total), progress.detail);
      return true;
    });
    adadiff::Pipeline pipeline(argv[1], options);
    adadiff::Session(pipeline).generate(argv[2], options);
  } catch (const adadiff::Error &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
