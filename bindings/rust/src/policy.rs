//! How many steps a prompt deserves: decide, collect rewards, train, compare. Every call returns its report, a JSON
//! object; settings are options (`train_epochs`, `collect_step_set`, …), documented in docs/adaptive-steps.md.

use crate::error::{c_string, check, text};
use crate::{ffi, Error, Options, Pipeline};
use std::ptr;

/// Calls `function` and returns the report of what it made.
fn report(
    options: &Options,
    function: impl FnOnce(*mut *mut ffi::adadiff_tensors, *mut *mut ffi::adadiff_error) -> i32,
) -> Result<String, Error> {
    let mut handle = ptr::null_mut();
    let outcome = check(|error| function(&mut handle, error));
    options.resume_panic();
    outcome?;
    // SAFETY: the handle is live and ours; the string is copied.
    unsafe {
        let report = text(ffi::adadiff_tensors_report(handle)).unwrap_or_default();
        ffi::adadiff_tensors_free(handle);
        Ok(report)
    }
}

/// The steps that the policy would take for a prompt, and why; no picture is made.
pub fn decide(pipeline: &Pipeline, prompt: &str, options: &Options) -> Result<String, Error> {
    let prompt = c_string(prompt, "prompt")?;
    // SAFETY: live arguments for the time of the call, here and below.
    report(options, |made, error| unsafe {
        ffi::adadiff_policy_decide(pipeline.0, prompt.as_ptr(), options.handle(), made, error)
    })
}

/// Makes and scores pictures of every prompt in a file (one per line) at every number of steps, into a CSV table. Rows
/// that are there are not made again.
pub fn collect(pipeline: &Pipeline, prompts: &str, table: &str, options: &Options) -> Result<String, Error> {
    let (prompts, table) = (c_string(prompts, "path")?, c_string(table, "path")?);
    report(options, |made, error| unsafe {
        ffi::adadiff_policy_collect(pipeline.0, prompts.as_ptr(), table.as_ptr(), options.handle(), made, error)
    })
}

/// Trains a policy on a table and writes it into a folder.
pub fn train(pipeline: &Pipeline, table: &str, folder: &str, options: &Options) -> Result<String, Error> {
    let (table, folder) = (c_string(table, "path")?, c_string(folder, "path")?);
    report(options, |made, error| unsafe {
        ffi::adadiff_policy_train(pipeline.0, table.as_ptr(), folder.as_ptr(), options.handle(), made, error)
    })
}

/// Compares policies on a table.
pub fn evaluate(pipeline: &Pipeline, table: &str, options: &Options) -> Result<String, Error> {
    let table = c_string(table, "path")?;
    report(options, |made, error| unsafe {
        ffi::adadiff_policy_evaluate(pipeline.0, table.as_ptr(), options.handle(), made, error)
    })
}
