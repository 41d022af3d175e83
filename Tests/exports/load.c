/* Loads the library, calls it, unloads it, and checks that the host process is as it was. */
#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

extern char **environ;

static int count_environment(void) {
  int count = 0;
  while (environ[count] != NULL) count++;
  return count;
}

static int count_threads(void) {
  int count = 0;
  DIR *tasks = opendir("/proc/self/task");
  if (tasks == NULL) return -1;
  while (readdir(tasks) != NULL) count++;
  closedir(tasks);
  return count;
}

static struct sigaction before[128];

/* A parent may have left dispositions behind (nohup ignores SIGHUP): what counts is what changes. */
static void remember_handlers(void) {
  for (int number = 1; number < SIGRTMIN; number++) sigaction(number, NULL, &before[number]);
}

/* The first signal whose handler differs from the remembered one, or 0. */
static int handlers_installed(void) {
  for (int number = 1; number < SIGRTMIN; number++) {
    struct sigaction action;
    if (sigaction(number, NULL, &action) == 0 && action.sa_handler != before[number].sa_handler) return number;
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 2) return 64;
  remember_handlers();
  const int variables = count_environment(), threads = count_threads();
  void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  if (handlers_installed() != 0) {
    fprintf(stderr, "loading installed a handler of signal %d\n", handlers_installed());
    return 1;
  }
  if (count_environment() != variables) {
    fprintf(stderr, "loading changed the environment\n");
    return 1;
  }
  if (count_threads() != threads) {
    fprintf(stderr, "loading started threads\n");
    return 1;
  }
  /* Bad calls answer; they neither end the process nor print. */
  int32_t (*open_pipeline)(const char *, const void *, void **, void **);
  int32_t (*error_status)(const void *);
  void (*error_free)(void *);
  *(void **)&open_pipeline = dlsym(library, "adadiff_pipeline_open");
  *(void **)&error_status = dlsym(library, "adadiff_error_status");
  *(void **)&error_free = dlsym(library, "adadiff_error_free");
  void *pipeline = &pipeline, *error = NULL;
  const int32_t status = open_pipeline("/nonexistent", NULL, &pipeline, &error);
  if (status != 3 || pipeline != NULL || error_status(error) != 3) {
    fprintf(stderr, "opening a missing folder gave status %d\n", (int)status);
    return 1;
  }
  error_free(error);
  if (open_pipeline(NULL, NULL, NULL, NULL) != 1) {
    fprintf(stderr, "NULL arguments are not refused\n");
    return 1;
  }
  if (handlers_installed() != 0) {
    fprintf(stderr, "a call installed a signal handler\n");
    return 1;
  }
  dlclose(library);
  puts("loaded");
  return 0;
}
