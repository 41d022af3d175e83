//! The C functions that the wrapper uses, as `include/adadiff.h` declares them.

#![allow(non_camel_case_types)]

use std::ffi::{c_char, c_void};

macro_rules! opaque {
    ($($name:ident),*) => { $(
        #[repr(C)]
        pub struct $name { _private: [u8; 0] }
    )* };
}
opaque!(adadiff_error, adadiff_cancel_token, adadiff_options, adadiff_tensors, adadiff_model);
opaque!(adadiff_pipeline, adadiff_session, adadiff_result);

#[repr(C)]
pub struct adadiff_progress {
    pub struct_size: usize,
    pub stage: i32,
    pub stage_name: *const c_char,
    pub step: i64,
    pub total: i64,
    pub detail: *const c_char,
    pub elapsed_ms: f64,
}

#[repr(C)]
pub struct adadiff_preview {
    pub struct_size: usize,
    pub step: i64,
    pub total: i64,
    pub timestep: f64,
    pub count: i64,
    pub channels: i64,
    pub height: i64,
    pub width: i64,
    pub latents: *const f32,
    pub predicted_original: *const f32,
    pub action: i32,
}

#[repr(C)]
pub struct adadiff_tensor {
    pub struct_size: usize,
    pub name: *const c_char,
    pub element_type: i32,
    pub rank: i32,
    pub dims: *const i64,
    pub data: *mut c_void,
    pub byte_count: usize,
}

#[repr(C)]
pub struct adadiff_scoring {
    pub struct_size: usize,
    pub prompt: *const c_char,
    pub steps: i64,
    pub seed: i64,
    pub width: i32,
    pub height: i32,
    pub channels: i32,
    pub pixels: *const u8,
    pub score: f64,
}

pub type ScoreCallback = Option<unsafe extern "C" fn(*mut adadiff_scoring, *mut c_void) -> i32>;
pub type ProgressCallback = Option<unsafe extern "C" fn(*const adadiff_progress, *mut c_void) -> i32>;
pub type PreviewCallback = Option<unsafe extern "C" fn(*const adadiff_preview, *mut c_void) -> i32>;
type Error = *mut *mut adadiff_error;

extern "C" {
    pub fn adadiff_version() -> *const c_char;
    pub fn adadiff_abi_version() -> i32;
    pub fn adadiff_error_description(error: *const adadiff_error) -> *const c_char;
    pub fn adadiff_error_component(error: *const adadiff_error) -> *const c_char;
    pub fn adadiff_error_node(error: *const adadiff_error) -> *const c_char;
    pub fn adadiff_error_free(error: *mut adadiff_error);

    pub fn adadiff_cancel_token_new() -> *mut adadiff_cancel_token;
    pub fn adadiff_cancel_token_retain(token: *mut adadiff_cancel_token) -> *mut adadiff_cancel_token;
    pub fn adadiff_cancel_token_release(token: *mut adadiff_cancel_token);
    pub fn adadiff_cancel_token_fire(token: *mut adadiff_cancel_token);
    pub fn adadiff_cancel_token_fired(token: *const adadiff_cancel_token) -> i32;

    pub fn adadiff_options_new() -> *mut adadiff_options;
    pub fn adadiff_options_free(options: *mut adadiff_options);
    pub fn adadiff_options_set_string(
        options: *mut adadiff_options,
        name: *const c_char,
        value: *const c_char,
        error: Error,
    ) -> i32;
    pub fn adadiff_options_set_int(options: *mut adadiff_options, name: *const c_char, value: i64, error: Error)
        -> i32;
    pub fn adadiff_options_set_float(
        options: *mut adadiff_options,
        name: *const c_char,
        value: f64,
        error: Error,
    ) -> i32;
    pub fn adadiff_options_set_bool(
        options: *mut adadiff_options,
        name: *const c_char,
        value: i32,
        error: Error,
    ) -> i32;
    pub fn adadiff_options_set_floats(
        options: *mut adadiff_options,
        name: *const c_char,
        data: *const f32,
        dims: *const i64,
        rank: i32,
        error: Error,
    ) -> i32;
    pub fn adadiff_options_set_progress(
        options: *mut adadiff_options,
        callback: ProgressCallback,
        user: *mut c_void,
        error: Error,
    ) -> i32;
    pub fn adadiff_options_set_preview(
        options: *mut adadiff_options,
        callback: PreviewCallback,
        user: *mut c_void,
        error: Error,
    ) -> i32;
    pub fn adadiff_options_set_scorer(
        options: *mut adadiff_options,
        callback: ScoreCallback,
        user: *mut c_void,
        error: Error,
    ) -> i32;
    pub fn adadiff_options_set_cancel_token(
        options: *mut adadiff_options,
        token: *mut adadiff_cancel_token,
        error: Error,
    ) -> i32;

    pub fn adadiff_tensors_count(tensors: *const adadiff_tensors) -> i32;
    pub fn adadiff_tensors_get(
        tensors: *const adadiff_tensors,
        index: i32,
        view: *mut adadiff_tensor,
        error: Error,
    ) -> i32;
    pub fn adadiff_tensors_report(tensors: *const adadiff_tensors) -> *const c_char;
    pub fn adadiff_tensors_free(tensors: *mut adadiff_tensors);

    pub fn adadiff_model_open(
        path: *const c_char,
        options: *const adadiff_options,
        model: *mut *mut adadiff_model,
        error: Error,
    ) -> i32;
    pub fn adadiff_model_free(model: *mut adadiff_model);
    pub fn adadiff_model_info(model: *const adadiff_model) -> *const c_char;
    pub fn adadiff_model_run(
        model: *const adadiff_model,
        inputs: *const adadiff_tensor,
        input_count: i32,
        output_names: *const *const c_char,
        output_count: i32,
        options: *const adadiff_options,
        results: *mut *mut adadiff_tensors,
        error: Error,
    ) -> i32;

    pub fn adadiff_pipeline_open(
        path: *const c_char,
        options: *const adadiff_options,
        pipeline: *mut *mut adadiff_pipeline,
        error: Error,
    ) -> i32;
    pub fn adadiff_pipeline_free(pipeline: *mut adadiff_pipeline);
    pub fn adadiff_pipeline_info(pipeline: *const adadiff_pipeline) -> *const c_char;

    pub fn adadiff_policy_decide(
        pipeline: *const adadiff_pipeline,
        prompt: *const c_char,
        options: *const adadiff_options,
        decision: *mut *mut adadiff_tensors,
        error: Error,
    ) -> i32;
    pub fn adadiff_policy_collect(
        pipeline: *const adadiff_pipeline,
        prompts_path: *const c_char,
        table_path: *const c_char,
        options: *const adadiff_options,
        summary: *mut *mut adadiff_tensors,
        error: Error,
    ) -> i32;
    pub fn adadiff_policy_train(
        pipeline: *const adadiff_pipeline,
        table_path: *const c_char,
        output_folder: *const c_char,
        options: *const adadiff_options,
        summary: *mut *mut adadiff_tensors,
        error: Error,
    ) -> i32;
    pub fn adadiff_policy_evaluate(
        pipeline: *const adadiff_pipeline,
        table_path: *const c_char,
        options: *const adadiff_options,
        summary: *mut *mut adadiff_tensors,
        error: Error,
    ) -> i32;

    pub fn adadiff_session_new(
        pipeline: *const adadiff_pipeline,
        session: *mut *mut adadiff_session,
        error: Error,
    ) -> i32;
    pub fn adadiff_session_free(session: *mut adadiff_session);
    pub fn adadiff_session_generate(
        session: *mut adadiff_session,
        prompt: *const c_char,
        options: *const adadiff_options,
        result: *mut *mut adadiff_result,
        error: Error,
    ) -> i32;

    pub fn adadiff_result_free(result: *mut adadiff_result);
    pub fn adadiff_result_image_count(result: *const adadiff_result) -> i32;
    pub fn adadiff_result_width(result: *const adadiff_result) -> i32;
    pub fn adadiff_result_height(result: *const adadiff_result) -> i32;
    pub fn adadiff_result_channels(result: *const adadiff_result) -> i32;
    pub fn adadiff_result_pixels(result: *const adadiff_result, index: i32) -> *const u8;
    pub fn adadiff_result_save_png(result: *const adadiff_result, index: i32, path: *const c_char, error: Error)
        -> i32;
    pub fn adadiff_result_latents(result: *const adadiff_result, dims: *mut i64) -> *const f32;
    pub fn adadiff_result_report(result: *const adadiff_result) -> *const c_char;
    pub fn adadiff_result_seed(result: *const adadiff_result) -> i64;
    pub fn adadiff_result_steps_planned(result: *const adadiff_result) -> i32;
    pub fn adadiff_result_policy(result: *const adadiff_result) -> *const c_char;
    pub fn adadiff_result_total_ms(result: *const adadiff_result) -> f64;
}
