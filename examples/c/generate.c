/* A picture from a prompt. Usage: generate PIPELINE_FOLDER "a prompt" picture.png */
#include <adadiff.h>
#include <stdio.h>

static int failed(adadiff_error *error) {
  fprintf(stderr, "%s\n", adadiff_error_description(error));
  adadiff_error_free(error);
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: %s PIPELINE_FOLDER PROMPT PICTURE.png\n", argv[0]);
    return 64;
  }
  adadiff_error *error = NULL;
  adadiff_pipeline *pipeline = NULL;
  adadiff_session *session = NULL;
  adadiff_result *result = NULL;
  adadiff_options *options = adadiff_options_new();

  /* "auto": the pipeline's policy reads the prompt and picks the number of steps. */
  int code = 0;
  if (adadiff_options_set_string(options, "steps", "auto", &error) != ADADIFF_OK ||
      adadiff_options_set_int(options, "seed", 42, &error) != ADADIFF_OK ||
      adadiff_pipeline_open(argv[1], options, &pipeline, &error) != ADADIFF_OK ||
      adadiff_session_new(pipeline, &session, &error) != ADADIFF_OK ||
      adadiff_session_generate(session, argv[2], options, &result, &error) != ADADIFF_OK ||
      adadiff_result_save_png(result, 0, argv[3], &error) != ADADIFF_OK) {
    code = failed(error);
  } else {
    printf("%s: %d x %d pixels, %d steps (%s), %.0f ms\n", argv[3], (int)adadiff_result_width(result),
           (int)adadiff_result_height(result), (int)adadiff_result_steps_planned(result),
           adadiff_result_policy(result), adadiff_result_total_ms(result));
  }
  /* Freeing NULL is allowed. */
  adadiff_result_free(result);
  adadiff_session_free(session);
  adadiff_pipeline_free(pipeline);
  adadiff_options_free(options);
  return code;
}
