/* adadiff.h - the C interface of libadadiff: ONNX diffusion pipelines on the CPU.
 *
 * C99 that is also C++17. This header is the contract; Swift implements it and the compiler checks every signature.
 *
 * Conventions
 *   - Every function that can fail returns an `adadiff_status` and takes `adadiff_error **error` last. `error` may be
 *     NULL. On failure *error receives an error object that the caller frees; on success *error is set to NULL. Output
 *     handles are set to NULL on failure.
 *   - Strings are UTF-8 and NUL-terminated. Strings passed in are copied. Strings returned belong to the object they
 *     were asked from (or to the library, where no object is involved) and live as long as it does.
 *   - Handles are opaque and never reused: a NULL, freed, foreign or wrong-kind handle is recognised and answered with
 *     ADADIFF_INVALID_ARGUMENT (or by the neutral value that a getter documents), never by a crash.
 *     Freeing NULL is allowed; every free function returns nothing.
 *   - Callbacks run on the thread that called the library, while that call is in progress. They may call functions on
 *     other objects, but not use the session that is running.
 *   - The library writes nothing to stdout or stderr, installs no signal handler, changes no locale, rounding mode or
 *     environment variable, and never ends the process on bad input. On Intel CPUs with AMX it asks Linux once for the tile
 *     registers, which stands for the process (docs/abi.md); the environment's ADADIFF_ISA=avx512_vnni keeps it from that.
 *
 * Stability: functions, enum values, option names and struct fields are only ever added (fields at the end of a struct;
 * `struct_size` tells which fields the other side knows). See docs/abi.md.
 */
#ifndef ADADIFF_H
#define ADADIFF_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define ADADIFF_API __attribute__((visibility("default")))
#else
#define ADADIFF_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------ version, ABI */

/** The ABI this header describes. It changes only when an existing binding would break. */
#define ADADIFF_ABI_VERSION 1

/** Version of the library, for example "0.1.0". Static. */
ADADIFF_API const char *adadiff_version(void);

/** ABI version of the library that is loaded; equal to ADADIFF_ABI_VERSION when header and library fit. */
ADADIFF_API int32_t adadiff_abi_version(void);

/** A JSON object about this build and this machine, static:
 *  {"version", "abi_version", "isa", "precisions": […], "dot_products": […], "threads", "swift", "dependencies": {…}}. */
ADADIFF_API const char *adadiff_build_info(void);

/* ---------------------------------------------------------------------------------------------- status, errors */

/** Result of a call: one of `enum adadiff_status_code`. Values never change meaning; new ones may be added. */
typedef int32_t adadiff_status;

enum adadiff_status_code {
  /** Success. */
  ADADIFF_OK = 0,
  /** An argument is NULL, malformed, not a live handle, or contradicts another argument. */
  ADADIFF_INVALID_ARGUMENT = 1,
  /** A number lies outside its documented range. */
  ADADIFF_OUT_OF_RANGE = 2,
  /** A file or folder does not exist. */
  ADADIFF_NOT_FOUND = 3,
  /** Reading or writing a file failed. */
  ADADIFF_IO = 4,
  /** A file's bytes are not what its format says: truncated, corrupted, contradictory. */
  ADADIFF_CORRUPT = 5,
  /** Valid, but not implemented by this library. */
  ADADIFF_UNSUPPORTED = 6,
  /** A tensor or option has another type than required. */
  ADADIFF_TYPE_MISMATCH = 7,
  /** A tensor has another shape than required. */
  ADADIFF_SHAPE_MISMATCH = 8,
  /** A name (option, input, output, scheduler, policy) is not known; the message lists the known ones. */
  ADADIFF_UNKNOWN_NAME = 9,
  /** Memory could not be allocated, or a size exceeds the limit. */
  ADADIFF_OUT_OF_MEMORY = 10,
  /** The cancel token fired or a callback asked to stop. The session or model stays usable. */
  ADADIFF_CANCELLED = 11,
  /** A host callback reported failure. The session stays usable. */
  ADADIFF_CALLBACK_FAILED = 12,
  /** NaN or infinity where finite numbers are required. */
  ADADIFF_NOT_FINITE = 13,
  /** The caller was compiled against another ABI (struct too small, version differs). */
  ADADIFF_ABI_MISMATCH = 14,
  /** A defect of this library; please report it with the message. */
  ADADIFF_INTERNAL = 15
};

/** Name of a status code ("OK", "INVALID_ARGUMENT", …); "UNKNOWN" for other numbers. Static. */
ADADIFF_API const char *adadiff_status_name(adadiff_status status);

/** What went wrong, with the names of the things involved. Made by the failing call, owned by the caller until
 *  adadiff_error_free; independent of the object it came from. Readable from any thread. */
typedef struct adadiff_error adadiff_error;

/** ADADIFF_INVALID_ARGUMENT when `error` is not a live error. */
ADADIFF_API adadiff_status adadiff_error_status(const adadiff_error *error);
/** What happened, in words; makes sense alone. "" when `error` is not a live error. */
ADADIFF_API const char *adadiff_error_message(const adadiff_error *error);
/** One line with everything known: "[component] file: node 'n' (Op): message (expected …, got …)". */
ADADIFF_API const char *adadiff_error_description(const adadiff_error *error);
/** Pipeline component ("unet", "tokenizer", …) or NULL. */
ADADIFF_API const char *adadiff_error_component(const adadiff_error *error);
/** File or folder, or NULL. */
ADADIFF_API const char *adadiff_error_file(const adadiff_error *error);
/** Node of the ONNX graph, or NULL. */
ADADIFF_API const char *adadiff_error_node(const adadiff_error *error);
/** ONNX operator type (with its domain where it is not the default one), or NULL. */
ADADIFF_API const char *adadiff_error_operator(const adadiff_error *error);
/** What was required (a shape, a type, a list of names), or NULL. */
ADADIFF_API const char *adadiff_error_expected(const adadiff_error *error);
/** What was found instead, or NULL. */
ADADIFF_API const char *adadiff_error_actual(const adadiff_error *error);
ADADIFF_API void adadiff_error_free(adadiff_error *error);

/** ADADIFF_OK when `header_abi_version` (pass ADADIFF_ABI_VERSION) fits this library, else ADADIFF_ABI_MISMATCH. */
ADADIFF_API adadiff_status adadiff_abi_check(int32_t header_abi_version, adadiff_error **error);

/* ------------------------------------------------------------------------------------------------- cancel token */

/** A flag that stops runs. Sticky: once fired it stays fired. Reference-counted: the maker holds one reference, options
 *  that carry it another. One token may stop many runs. Thread-safe. */
typedef struct adadiff_cancel_token adadiff_cancel_token;

/** A new token with one reference, or NULL when memory is exhausted. */
ADADIFF_API adadiff_cancel_token *adadiff_cancel_token_new(void);
/** Adds a reference and returns `token`; NULL when it is not a live token. */
ADADIFF_API adadiff_cancel_token *adadiff_cancel_token_retain(adadiff_cancel_token *token);
/** Drops a reference; the last one frees the token. */
ADADIFF_API void adadiff_cancel_token_release(adadiff_cancel_token *token);
/** Stops every run that carries the token, now and later. Async-signal-safe; may be called from any thread or signal
 *  handler while a reference is held. */
ADADIFF_API void adadiff_cancel_token_fire(adadiff_cancel_token *token);
/** 1 when fired, 0 otherwise. Async-signal-safe. */
ADADIFF_API int32_t adadiff_cancel_token_fired(const adadiff_cancel_token *token);

/* ---------------------------------------------------------------------------------------------------- callbacks */

/** What a run is doing. Numbers and names (adadiff_list_name, ADADIFF_LIST_STAGES) never change meaning. */
enum adadiff_stage {
  /** Reading a component of the pipeline; total = number of components. */
  ADADIFF_STAGE_LOAD = 0,
  /** Tokenizing and encoding the prompts. */
  ADADIFF_STAGE_TEXT_ENCODE = 1,
  /** Choosing the number of steps. */
  ADADIFF_STAGE_POLICY = 2,
  /** Sampling; total = number of network evaluations that the scheduler lays out. */
  ADADIFF_STAGE_DENOISE = 3,
  /** Decoding latents to pixels; total = number of images. */
  ADADIFF_STAGE_DECODE = 4,
  /** Collecting rewards; total = pictures to make. */
  ADADIFF_STAGE_COLLECT = 5,
  /** Training a step policy; total = epochs. */
  ADADIFF_STAGE_TRAIN = 6,
  /** Evaluating step policies; total = prompts. */
  ADADIFF_STAGE_EVALUATE = 7
};

/** What a callback answers. Any other positive number means stop, any negative one means failure. */
enum adadiff_callback_answer {
  ADADIFF_CALLBACK_CONTINUE = 0,
  /** End the call with ADADIFF_CANCELLED. */
  ADADIFF_CALLBACK_STOP = 1,
  /** End the call with ADADIFF_CALLBACK_FAILED. */
  ADADIFF_CALLBACK_ERROR = -1
};

/** One report of progress. Filled by the library; valid during the callback. */
typedef struct adadiff_progress {
  /** Size of the struct that the library filled; fields beyond it do not exist. */
  size_t struct_size;
  /** enum adadiff_stage. */
  int32_t stage;
  /** Name of the stage: "load", "text_encode", "policy", "denoise", "decode", … Static. */
  const char *stage_name;
  /** Units of this stage that are finished: 0 when it begins, `total` when it ends. */
  int64_t step;
  int64_t total;
  /** What the stage works on now (component, action of the step), never NULL. */
  const char *detail;
  /** Milliseconds since the call began. */
  double elapsed_ms;
} adadiff_progress;

typedef int32_t (*adadiff_progress_callback)(const adadiff_progress *progress, void *user);

/** The state after one sampling step. Filled by the library; memory valid during the callback only. */
typedef struct adadiff_preview {
  size_t struct_size;
  /** Step just finished, from 0. */
  int64_t step;
  /** Steps that the run performs. */
  int64_t total;
  /** Timestep of that step, in units of the training schedule. */
  double timestep;
  /** Shape of both arrays: (count, channels, height, width), row-major. */
  int64_t count;
  int64_t channels;
  int64_t height;
  int64_t width;
  /** Latents after the step. */
  const float *latents;
  /** The clean latents as predicted at this step (x0), in the same scale; NULL when the scheduler has none. */
  const float *predicted_original;
  /** enum adadiff_action of the step. */
  int32_t action;
} adadiff_preview;

typedef int32_t (*adadiff_preview_callback)(const adadiff_preview *preview, void *user);

enum adadiff_log_level {
  ADADIFF_LOG_DEBUG = 0,
  ADADIFF_LOG_INFO = 1,
  ADADIFF_LOG_WARNING = 2,
  ADADIFF_LOG_ERROR = 3
};

/** `component` and `message` are valid during the callback and never NULL. */
typedef void (*adadiff_log_callback)(int32_t level, const char *component, const char *message, void *user);

/** A picture to judge. Filled by the library but for `score`; memory valid during the callback only. */
typedef struct adadiff_scoring {
  size_t struct_size;
  const char *prompt;
  /** Sampling steps and seed of the picture. */
  int64_t steps;
  int64_t seed;
  int32_t width;
  int32_t height;
  int32_t channels;
  /** height × width × channels bytes, row-major, top row first. */
  const uint8_t *pixels;
  /** Written by the callback: larger is better; must be finite. */
  double score;
} adadiff_scoring;

typedef int32_t (*adadiff_score_callback)(adadiff_scoring *scoring, void *user);

/* ------------------------------------------------------------------------------------------------------ options */

/** Named settings for opening and running. Owned by the caller until adadiff_options_free; read (copied) by each call
 *  that receives it, so it may be changed or freed afterwards. Not for simultaneous use by several threads.
 *
 *  Names, types, ranges, defaults and documentation are listed by adadiff_list_name(ADADIFF_LIST_OPTIONS, i) and
 *  adadiff_option_describe. Calls ignore options outside their scope. Those of this version:
 *
 *    scope    name               type    meaning
 *    open     threads            int     threads of the pipeline or model, the caller's included; 0 = all allowed CPUs
 *    open     precision          string  of the large products: "float32" (default, also "fp32"; with "avx512_amx" as "isa" of
 *                                        adadiff_build_info, large ones keep 16 bits of every number), "bfloat16" (also "bf16"),
 *                                        "int8" (weights and activations as bytes; text encoder and decoder in bfloat16).
 *                                        Where the CPU has no fast dot product for one ("dot_products" of
 *                                        adadiff_build_info): bfloat16 products are of 16-bit integers with a scale
 *                                        per row and column ("avx2", "avx512_vnni"), or in float32 with
 *                                        weights kept as float16, as in early layers of decoders; int8's activations have 16 bits (but "portable")
 *    open     constant_inputs    string  of a model: names of inputs, separated by commas, that seldom change from run to run,
 *                                        such as the text features of a sampling loop ("encoder_hidden_states"). What
 *                                        depends on them alone is computed once, kept, and computed again when their
 *                                        elements differ; results are the same bits. Keeps a run's
 *                                        memory between runs; runs at the same time share nothing. Pipelines do so themselves.
 *    open     repeated_inputs    string  of a model: names of inputs, likewise, whose second half along the first axis equals the
 *                                        first, as in classifier-free guidance ("sample,timestep"). What depends on them
 *                                        alone is computed for one half; results are the same up to rounding. A run
 *                                        whose halves differ computes all. Pipelines do so themselves.
 *    open     lazy               bool    read each component at its first use instead of at open
 *    run      negative_prompt    string  text to steer away from (default "")
 *    run      steps              int     number of sampling steps, 1…1000, or the string "auto" (default): the policy decides
 *    run      policy             string  who decides when steps is auto: "" (the pipeline's own, default) or
 *                                        "NAME[:key=value,…]" with a name from ADADIFF_LIST_POLICIES: "fixed:20",
 *                                        "random:weights=1/2/1", "words:thresholds=8/10/12/14,steps=10/20/30/40/50",
 *                                        "perplexity:path=ngram.json", "learned:path=folder"
 *    run      policy_quality     float   0…1: where the learned policy decides, from fewest steps over 0.5 (as trained)
 *                                        to most (default "auto": as trained)
 *    run      deadline_ms        float   milliseconds for the whole run: no more steps than this machine's speed allows;
 *                                        0 (default): no limit
 *    run      scheduler          string  name from ADADIFF_LIST_SCHEDULERS (default "": the pipeline's own)
 *    run      guidance_scale     float   classifier-free guidance; <= 1 switches it off (default: the pipeline's own, else 7.5)
 *    run      guidance_start     float   0…1, guidance is off before this share of the noise schedule (0: pure noise;
 *                                        default: the pipeline's own, else 0). Kynkäänniemi et al. 2024
 *    run      guidance_stop      float   0…1, guidance is off from this share on (1: the clean picture; default: the
 *                                        pipeline's own, else 1); a call without guidance makes one prediction, not two
 *    run      guidance_rescale   float   0…1, share of the standard deviation correction (default 0)
 *    run      guidance_batching  string  "joint": one network call per step, "separate": two, "auto" (default)
 *    run      seed               int     0…2^63-1; equals torch's manual_seed; "auto" (default) draws one and reports it
 *    run      count              int     images per call, 1…64 (default 1)
 *    run      width, height      int     pixels; 0 (default): the model's own size
 *    run      eta                float   0…1, noise share of DDIM-like schedulers (default: the scheduler's own)
 *    run      clip_skip          int     0…: use the text encoder's hidden states that many layers before the last
 *    run      latents            floats  initial standard normal noise (count, channels, height, width), instead of drawing it
 *    run      decode             bool    false: stop at the latents (default true)
 *    run      vae_tiling         int     latent pixels (8 or more) of the tiles that pictures are decoded in, a quarter of them
 *                                        overlapping and blended: less memory, slightly other pixels; 0 (default): whole
 *    both     profile            bool    per-operator times in the report (default false)
 *    policy   train_…, reward_…, collect_…, eval_…   settings of adadiff_policy_train, _collect and _evaluate, listed in
 *                                        docs/adaptive-steps.md
 */
typedef struct adadiff_options adadiff_options;

/** New options with every default, or NULL when memory is exhausted. */
ADADIFF_API adadiff_options *adadiff_options_new(void);
/** An independent copy, or NULL when `options` is not live. */
ADADIFF_API adadiff_options *adadiff_options_copy(const adadiff_options *options);
ADADIFF_API void adadiff_options_free(adadiff_options *options);

/** Setters check name, type and range at once: ADADIFF_UNKNOWN_NAME, ADADIFF_TYPE_MISMATCH, ADADIFF_OUT_OF_RANGE.
 *  set_string also takes the text form of int, float and bool options ("25", "7.5", "true") and "auto" where allowed. */
ADADIFF_API adadiff_status adadiff_options_set_string(
    adadiff_options *options, const char *name, const char *value, adadiff_error **error);
ADADIFF_API adadiff_status adadiff_options_set_int(
    adadiff_options *options, const char *name, int64_t value, adadiff_error **error);
/** Must be finite. Also sets int options when the value is a whole number. */
ADADIFF_API adadiff_status adadiff_options_set_float(
    adadiff_options *options, const char *name, double value, adadiff_error **error);
/** 0 is false, everything else true. */
ADADIFF_API adadiff_status adadiff_options_set_bool(
    adadiff_options *options, const char *name, int32_t value, adadiff_error **error);
/** Copies a row-major float array with `rank` dimensions (at most 8). */
ADADIFF_API adadiff_status adadiff_options_set_floats(
    adadiff_options *options, const char *name, const float *data, const int64_t *dims, int32_t rank,
    adadiff_error **error);
/** Back to the default. */
ADADIFF_API adadiff_status adadiff_options_reset(adadiff_options *options, const char *name, adadiff_error **error);

/** Callbacks and token of the calls that receive these options; NULL removes. `user` is passed through untouched and
 *  must stay valid for those calls. */
ADADIFF_API adadiff_status adadiff_options_set_progress(
    adadiff_options *options, adadiff_progress_callback callback, void *user, adadiff_error **error);
ADADIFF_API adadiff_status adadiff_options_set_preview(
    adadiff_options *options, adadiff_preview_callback callback, void *user, adadiff_error **error);
/** Receives messages of at least `level` (enum adadiff_log_level), warnings of a pipeline included. */
ADADIFF_API adadiff_status adadiff_options_set_log(
    adadiff_options *options, adadiff_log_callback callback, void *user, int32_t level, adadiff_error **error);
/** The scorer "host" of adadiff_policy_collect and adadiff_pipeline_score. */
ADADIFF_API adadiff_status adadiff_options_set_scorer(
    adadiff_options *options, adadiff_score_callback callback, void *user, adadiff_error **error);
/** The options hold their own reference of the token. */
ADADIFF_API adadiff_status adadiff_options_set_cancel_token(
    adadiff_options *options, adadiff_cancel_token *token, adadiff_error **error);

/* ------------------------------------------------------------------------------------------------ introspection */

enum adadiff_list {
  /** Schedulers: diffusers class names ("DDIMScheduler", …), then short names ("ddim", "dpmpp_2m_karras", …). */
  ADADIFF_LIST_SCHEDULERS = 0,
  /** ONNX operators ("Conv"; "domain:Name" outside the default domain). */
  ADADIFF_LIST_OPERATORS = 1,
  /** Step policies for the option "policy". */
  ADADIFF_LIST_POLICIES = 2,
  /** Options. */
  ADADIFF_LIST_OPTIONS = 3,
  /** Stages, index = enum adadiff_stage. */
  ADADIFF_LIST_STAGES = 4,
  /** Actions of a step, index = enum adadiff_action. */
  ADADIFF_LIST_ACTIONS = 5
};

/** Number of names in a list (enum adadiff_list); 0 for an unknown list. */
ADADIFF_API int32_t adadiff_list_count(int32_t list);
/** A name, static; NULL when list or index is out of range. */
ADADIFF_API const char *adadiff_list_name(int32_t list, int32_t index);

enum adadiff_option_type {
  ADADIFF_OPTION_STRING = 0,
  ADADIFF_OPTION_INT = 1,
  ADADIFF_OPTION_FLOAT = 2,
  ADADIFF_OPTION_BOOL = 3,
  ADADIFF_OPTION_FLOATS = 4
};

enum adadiff_option_scope {
  ADADIFF_SCOPE_OPEN = 1,
  ADADIFF_SCOPE_RUN = 2,
  ADADIFF_SCOPE_OPEN_AND_RUN = 3,
  /** Collecting, training and evaluating step policies. */
  ADADIFF_SCOPE_POLICY = 4
};

typedef struct adadiff_option_info {
  /** Set by the caller to sizeof(adadiff_option_info) before the call. */
  size_t struct_size;
  const char *name;
  /** enum adadiff_option_type. */
  int32_t type;
  /** enum adadiff_option_scope. */
  int32_t scope;
  /** Range of numbers, both ends included; 0 and 0 for other types. */
  double minimum;
  double maximum;
  /** Text form of the default. */
  const char *default_text;
  /** Choices of a string option separated by '|', or "" when free. */
  const char *choices;
  /** One sentence. */
  const char *documentation;
} adadiff_option_info;

/** Describes one option; the strings are static. */
ADADIFF_API adadiff_status adadiff_option_describe(const char *name, adadiff_option_info *info, adadiff_error **error);

/* ------------------------------------------------------------------------------------------------------ tensors */

/** Element types; the numbers of ONNX's TensorProto.DataType. */
enum adadiff_type {
  ADADIFF_TYPE_UNKNOWN = 0,
  ADADIFF_TYPE_FLOAT32 = 1,
  ADADIFF_TYPE_UINT8 = 2,
  ADADIFF_TYPE_INT8 = 3,
  ADADIFF_TYPE_UINT16 = 4,
  ADADIFF_TYPE_INT16 = 5,
  ADADIFF_TYPE_INT32 = 6,
  ADADIFF_TYPE_INT64 = 7,
  /** `data` points to an array of NUL-terminated UTF-8 strings (const char *const *). */
  ADADIFF_TYPE_STRING = 8,
  ADADIFF_TYPE_BOOL = 9,
  ADADIFF_TYPE_FLOAT16 = 10,
  ADADIFF_TYPE_FLOAT64 = 11,
  ADADIFF_TYPE_UINT32 = 12,
  ADADIFF_TYPE_UINT64 = 13,
  ADADIFF_TYPE_COMPLEX64 = 14,
  ADADIFF_TYPE_COMPLEX128 = 15,
  ADADIFF_TYPE_BFLOAT16 = 16,
  ADADIFF_TYPE_FLOAT8E4M3FN = 17,
  ADADIFF_TYPE_FLOAT8E4M3FNUZ = 18,
  ADADIFF_TYPE_FLOAT8E5M2 = 19,
  ADADIFF_TYPE_FLOAT8E5M2FNUZ = 20,
  /** Two elements per byte, the first in the low half. */
  ADADIFF_TYPE_UINT4 = 21,
  ADADIFF_TYPE_INT4 = 22,
  ADADIFF_TYPE_FLOAT4E2M1 = 23
};

/** A view of a row-major contiguous array. */
typedef struct adadiff_tensor {
  /** Set to sizeof(adadiff_tensor) by whoever fills the struct; also the stride of arrays of them. */
  size_t struct_size;
  /** Name of the model's input or output. */
  const char *name;
  /** enum adadiff_type. */
  int32_t type;
  /** 0…8 (0: scalar). */
  int32_t rank;
  /** `rank` sizes; may be NULL for rank 0. */
  const int64_t *dims;
  /** Elements; any alignment. May be NULL when byte_count is 0. */
  void *data;
  /** Bytes at `data`; checked against type and dims. */
  size_t byte_count;
} adadiff_tensor;

/** Named tensors that a call returned. Owned by the caller until adadiff_tensors_free; independent of the model. */
typedef struct adadiff_tensors adadiff_tensors;

/** 0 when `tensors` is not live. */
ADADIFF_API int32_t adadiff_tensors_count(const adadiff_tensors *tensors);
/** Fills `view` (struct_size set by the caller) with tensor `index`; name, dims and data belong to `tensors`. */
ADADIFF_API adadiff_status adadiff_tensors_get(
    const adadiff_tensors *tensors, int32_t index, adadiff_tensor *view, adadiff_error **error);
/** JSON about the run that made them: {"milliseconds", "precision"}, with the option "profile" also "operators" and "nodes": arrays of
 *  {"operator", "kernel", "node", "ms", "runs", "gflop", "mbytes"}, the former by operator and kernel, slowest first, the
 *  latter by node in the order they ran. "gflop": operations of the definition; "mbytes": activations read and written. */
ADADIFF_API const char *adadiff_tensors_report(const adadiff_tensors *tensors);
ADADIFF_API void adadiff_tensors_free(adadiff_tensors *tensors);

/* -------------------------------------------------------------------------------------------------------- model */

/** Any ONNX graph, ready to run. Immutable and thread-safe: several threads may run it at once. Owned by the caller
 *  until adadiff_model_free; a run in progress on another thread keeps what it needs. */
typedef struct adadiff_model adadiff_model;

/** Opens a file. External data is looked for in its folder only; links may leave the folder where the file is a link too and
 *  they lead to the folder that it leads to, as in a Hugging Face cache. `options` may be NULL. */
ADADIFF_API adadiff_status adadiff_model_open(
    const char *path, const adadiff_options *options, adadiff_model **model, adadiff_error **error);
/** Opens a model held in memory, which is copied. `folder` locates external data and may be NULL. */
ADADIFF_API adadiff_status adadiff_model_open_memory(
    const void *bytes, size_t byte_count, const char *folder, const adadiff_options *options, adadiff_model **model,
    adadiff_error **error);
ADADIFF_API void adadiff_model_free(adadiff_model *model);

/** JSON: {"inputs", "outputs", "opsets", "operators": {name: count}, "nodes", "parameters",
 *  "parameter_bytes", "ir_version", "producer", "precision"}. NULL when not live. */
ADADIFF_API const char *adadiff_model_info(const adadiff_model *model);

/** Inputs are the graph's true inputs, in its order. Counts are 0, names NULL, types 0, when out of range. */
ADADIFF_API int32_t adadiff_model_input_count(const adadiff_model *model);
ADADIFF_API const char *adadiff_model_input_name(const adadiff_model *model, int32_t index);
ADADIFF_API int32_t adadiff_model_input_type(const adadiff_model *model, int32_t index);
/** Number of dimensions; -1 when the model does not declare it. */
ADADIFF_API int32_t adadiff_model_input_rank(const adadiff_model *model, int32_t index);
/** Size of one dimension; -1 when it is free. */
ADADIFF_API int64_t adadiff_model_input_dim(const adadiff_model *model, int32_t index, int32_t axis);
/** Name of a free dimension ("batch_size"), or NULL. */
ADADIFF_API const char *adadiff_model_input_dim_name(const adadiff_model *model, int32_t index, int32_t axis);
ADADIFF_API int32_t adadiff_model_output_count(const adadiff_model *model);
ADADIFF_API const char *adadiff_model_output_name(const adadiff_model *model, int32_t index);
ADADIFF_API int32_t adadiff_model_output_type(const adadiff_model *model, int32_t index);
ADADIFF_API int32_t adadiff_model_output_rank(const adadiff_model *model, int32_t index);
ADADIFF_API int64_t adadiff_model_output_dim(const adadiff_model *model, int32_t index, int32_t axis);
ADADIFF_API const char *adadiff_model_output_dim_name(const adadiff_model *model, int32_t index, int32_t axis);

/** Runs and returns new tensors. `inputs` is an array of `input_count` views, found by name. `output_names` selects and
 *  orders the results; NULL with output_count 0 asks for all. `options` may be NULL. */
ADADIFF_API adadiff_status adadiff_model_run(
    const adadiff_model *model, const adadiff_tensor *inputs, int32_t input_count, const char *const *output_names,
    int32_t output_count, const adadiff_options *options, adadiff_tensors **results, adadiff_error **error);
/** Runs into the caller's memory: every view in `outputs` names an output and must have its exact type, shape and size.
 *  On failure the contents of the buffers are unspecified. String outputs are not possible here. */
ADADIFF_API adadiff_status adadiff_model_run_into(
    const adadiff_model *model, const adadiff_tensor *inputs, int32_t input_count, const adadiff_tensor *outputs,
    int32_t output_count, const adadiff_options *options, adadiff_error **error);

/* ----------------------------------------------------------------------------------------------------- pipeline */

/** The weights and settings of a diffusion pipeline. Immutable and thread-safe: many sessions share one. Owned by the
 *  caller until adadiff_pipeline_free; sessions hold their own reference, so it may be freed before them. */
typedef struct adadiff_pipeline adadiff_pipeline;

/** Opens a folder in the layout that `optimum-cli export onnx` writes (model_index.json and one folder per component).
 *  Uses the options of scope open, progress (stage "load"), log and cancel token. `options` may be NULL. */
ADADIFF_API adadiff_status adadiff_pipeline_open(
    const char *path, const adadiff_options *options, adadiff_pipeline **pipeline, adadiff_error **error);
ADADIFF_API void adadiff_pipeline_free(adadiff_pipeline *pipeline);

/** JSON: {"class", "path", "components", "scheduler", "width", "height", "latent_channels", "policy", "step_set",
 *  "guidance_scale", "precision", "warnings": […], …}. NULL when not live. */
ADADIFF_API const char *adadiff_pipeline_info(const adadiff_pipeline *pipeline);

/** Tokenizes as the pipeline does: int64 tensors "input_ids" (1, length; padded and truncated), "attention_mask"
 *  (1, length) and "token_ids" (n; neither padded nor truncated, with start and end tokens). */
ADADIFF_API adadiff_status adadiff_pipeline_tokenize(
    const adadiff_pipeline *pipeline, const char *text, adadiff_tensors **tensors, adadiff_error **error);

/** Scores a picture of height × width × 3 bytes with the scorers of the option "collect_metrics". The report of `scores`
 *  is {"scores": {name: number}}. */
ADADIFF_API adadiff_status adadiff_pipeline_score(
    const adadiff_pipeline *pipeline, const char *prompt, const uint8_t *pixels, int32_t width, int32_t height,
    const adadiff_options *options, adadiff_tensors **scores, adadiff_error **error);

/* ----------------------------------------------------------------------------------- policies: how many steps to take */

/** Which number of steps a policy (options "policy", "policy_quality", "seed") would take for a prompt, without making the
 *  picture. Report: {"steps", "policy": {"name", "reason", "choices", "probabilities", "facts"}}. */
ADADIFF_API adadiff_status adadiff_policy_decide(
    const adadiff_pipeline *pipeline, const char *prompt, const adadiff_options *options, adadiff_tensors **decision,
    adadiff_error **error);
/** Makes every prompt of a file (one per line) with every number of steps from the same initial noise, scores the
 *  pictures and appends the scores to a CSV table. Rows that the table has are not made again, whoever made them; several
 *  processes may work on one table. Report: {"pictures_made", "pictures_present", "table"}. */
ADADIFF_API adadiff_status adadiff_policy_collect(
    const adadiff_pipeline *pipeline, const char *prompts_path, const char *table_path, const adadiff_options *options,
    adadiff_tensors **summary, adadiff_error **error);
/** Trains a step-selection network on a table and writes policy.json, policy.onnx, ngram.json, training.jsonl and
 *  checkpoint.bin into a folder (made where it does not exist). Report: the contents of policy.json. */
ADADIFF_API adadiff_status adadiff_policy_train(
    const adadiff_pipeline *pipeline, const char *table_path, const char *output_folder, const adadiff_options *options,
    adadiff_tensors **summary, adadiff_error **error);
/** Compares policies on a table: every fixed number, random, words, perplexity, learned (option "policy": another learned
 *  one), the oracle, and each rival brought to the learned policy's mean steps; with 95 % bootstrap intervals over prompts. */
ADADIFF_API adadiff_status adadiff_policy_evaluate(
    const adadiff_pipeline *pipeline, const char *table_path, const adadiff_options *options, adadiff_tensors **summary,
    adadiff_error **error);

/* ------------------------------------------------------------------------------------------------------ session */

/** The state and workspace of one run at a time. Owned by the caller until adadiff_session_free; holds its pipeline.
 *  Any thread may use it, but one at a time: a second simultaneous run is refused with ADADIFF_INVALID_ARGUMENT.
 *  After a failed or cancelled run it can be used again. Keeping one for many runs reuses its plans and memory. */
typedef struct adadiff_session adadiff_session;

ADADIFF_API adadiff_status adadiff_session_new(
    const adadiff_pipeline *pipeline, adadiff_session **session, adadiff_error **error);
ADADIFF_API void adadiff_session_free(adadiff_session *session);

/** The outcome of one run. Owned by the caller until adadiff_result_free; independent of session and pipeline; readable
 *  from any thread. */
typedef struct adadiff_result adadiff_result;

/** Text to image. Uses the options of scope run, the callbacks and the token. `options` may be NULL. A prompt longer
 *  than the model's window is truncated, and the report says so; "" is allowed; invalid UTF-8 is refused. */
ADADIFF_API adadiff_status adadiff_session_generate(
    adadiff_session *session, const char *prompt, const adadiff_options *options, adadiff_result **result,
    adadiff_error **error);

/* ------------------------------------------------------------------------------------------------------- result */

ADADIFF_API void adadiff_result_free(adadiff_result *result);

/** Number of images: 0 when the option "decode" was false or `result` is not live. */
ADADIFF_API int32_t adadiff_result_image_count(const adadiff_result *result);
/** Pixels. */
ADADIFF_API int32_t adadiff_result_width(const adadiff_result *result);
ADADIFF_API int32_t adadiff_result_height(const adadiff_result *result);
/** Values per pixel: 3 (red, green, blue). */
ADADIFF_API int32_t adadiff_result_channels(const adadiff_result *result);
/** height × width × channels bytes, row-major, top row first, without padding; NULL when out of range. */
ADADIFF_API const uint8_t *adadiff_result_pixels(const adadiff_result *result, int32_t index);
/** Writes one image as PNG. ADADIFF_IO or ADADIFF_NOT_FOUND when the file cannot be written. */
ADADIFF_API adadiff_status adadiff_result_save_png(
    const adadiff_result *result, int32_t index, const char *path, adadiff_error **error);
/** Final latents (count, channels, height, width), before the decoder's scaling; `dims`, unless NULL, receives the four
 *  sizes. NULL when not live. */
ADADIFF_API const float *adadiff_result_latents(const adadiff_result *result, int64_t *dims);

/** The whole report as JSON; docs/abi.md lists its keys. NULL when not live. */
ADADIFF_API const char *adadiff_result_report(const adadiff_result *result);
/** Seed of the noise; -1 when not live. */
ADADIFF_API int64_t adadiff_result_seed(const adadiff_result *result);
/** Name of the scheduler that ran. */
ADADIFF_API const char *adadiff_result_scheduler(const adadiff_result *result);
/** Steps that the caller or the policy asked for. */
ADADIFF_API int32_t adadiff_result_steps_planned(const adadiff_result *result);
/** Sampling steps performed; schedulers with inner evaluations (Heun, PNDM) perform more than planned. */
ADADIFF_API int32_t adadiff_result_steps_run(const adadiff_result *result);
/** Steps in which the network ran. */
ADADIFF_API int32_t adadiff_result_network_calls(const adadiff_result *result);

/** What a step did for its noise prediction. */
enum adadiff_action {
  /** Ran the network. */
  ADADIFF_ACTION_RUN = 0,
  /** Reused the last prediction. */
  ADADIFF_ACTION_REUSE = 1,
  /** Extrapolated from earlier predictions. */
  ADADIFF_ACTION_EXTRAPOLATE = 2,
  /** Ran a part of the network on cached features. */
  ADADIFF_ACTION_PARTIAL = 3
};

/** Index 0 … adadiff_result_steps_run - 1. enum adadiff_action; -1 when out of range. */
ADADIFF_API int32_t adadiff_result_step_action(const adadiff_result *result, int32_t index);
/** Why ("fixed", "warm_up", …); NULL when out of range. */
ADADIFF_API const char *adadiff_result_step_reason(const adadiff_result *result, int32_t index);
/** Timestep; -1 when out of range. */
ADADIFF_API double adadiff_result_step_timestep(const adadiff_result *result, int32_t index);
/** Milliseconds; -1 when out of range. */
ADADIFF_API double adadiff_result_step_ms(const adadiff_result *result, int32_t index);

/** Milliseconds spent in a stage (enum adadiff_stage); -1 when it did not happen. */
ADADIFF_API double adadiff_result_stage_ms(const adadiff_result *result, int32_t stage);
/** Milliseconds of the whole call. */
ADADIFF_API double adadiff_result_total_ms(const adadiff_result *result);

/** Who chose the number of steps: "fixed" (the caller), the policy's name, or "scheduler_default". */
ADADIFF_API const char *adadiff_result_policy(const adadiff_result *result);
/** Choices the policy had; 0 when none was asked. */
ADADIFF_API int32_t adadiff_result_policy_choice_count(const adadiff_result *result);
/** Number of steps of a choice; -1 when out of range. */
ADADIFF_API int32_t adadiff_result_policy_choice(const adadiff_result *result, int32_t index);
/** Probability the policy gave it; -1 when out of range. */
ADADIFF_API double adadiff_result_policy_probability(const adadiff_result *result, int32_t index);

#ifdef __cplusplus
}
#endif

#endif
