/* Ctrl-C ends a run and nothing else. Usage: cancel PIPELINE_FOLDER "a prompt"
 *
 * The token may be fired from a signal handler. To show it, this program sends itself the signal after the second step;
 * then it makes another picture with the same session, with options that carry no fired token. */
#include <adadiff.h>
#include <signal.h>
#include <stdio.h>

static adadiff_cancel_token *token;

static void on_interrupt(int signal_number) {
  (void)signal_number;
  adadiff_cancel_token_fire(token);
}

static int32_t interrupt_after_two_steps(const adadiff_progress *progress, void *user) {
  (void)user;
  if (progress->stage == ADADIFF_STAGE_DENOISE && progress->step == 2) raise(SIGINT);
  return ADADIFF_CALLBACK_CONTINUE;
}

int main(int argc, char **argv) {
  if (argc != 3) return 64;
  token = adadiff_cancel_token_new();
  signal(SIGINT, on_interrupt);

  adadiff_pipeline *pipeline = NULL;
  adadiff_session *session = NULL;
  adadiff_result *result = NULL;
  adadiff_error *error = NULL;
  adadiff_options *options = adadiff_options_new();
  adadiff_options *again = adadiff_options_new();
  adadiff_options_set_int(options, "steps", 20, NULL);
  adadiff_options_set_progress(options, interrupt_after_two_steps, NULL, NULL);
  adadiff_options_set_cancel_token(options, token, NULL);
  adadiff_options_set_int(again, "steps", 2, NULL);

  int code = 1;
  if (adadiff_pipeline_open(argv[1], NULL, &pipeline, &error) == ADADIFF_OK &&
      adadiff_session_new(pipeline, &session, &error) == ADADIFF_OK) {
    adadiff_status status = adadiff_session_generate(session, argv[2], options, &result, &error);
    printf("first run: %s\n", adadiff_status_name(status));
    if (status == ADADIFF_CANCELLED) {
      adadiff_error_free(error);
      error = NULL;
      status = adadiff_session_generate(session, argv[2], again, &result, &error);
      printf("second run: %s\n", adadiff_status_name(status));
      code = status == ADADIFF_OK ? 0 : 1;
    }
  }
  if (error != NULL) fprintf(stderr, "%s\n", adadiff_error_description(error));
  adadiff_error_free(error);
  adadiff_result_free(result);
  adadiff_options_free(again);
  adadiff_options_free(options);
  adadiff_session_free(session);
  adadiff_pipeline_free(pipeline);
  adadiff_cancel_token_release(token);
  return code;
}
