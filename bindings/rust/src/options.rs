use crate::error::{c_string, check, text};
use crate::{ffi, Error, Status};
use std::any::Any;
use std::ffi::c_void;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::slice;

/// Stops runs from another thread. Sticky; clones share the flag.
pub struct CancelToken(pub(crate) *mut ffi::adadiff_cancel_token);

// SAFETY: the header promises that every function of a token may be called from any thread at any time.
unsafe impl Send for CancelToken {}
// SAFETY: as above.
unsafe impl Sync for CancelToken {}

impl CancelToken {
    pub fn new() -> Result<CancelToken, Error> {
        // SAFETY: no arguments; NULL means no memory.
        let token = unsafe { ffi::adadiff_cancel_token_new() };
        if token.is_null() {
            return Err(Error::new(Status::OutOfMemory, "cannot allocate a cancel token"));
        }
        Ok(CancelToken(token))
    }

    /// Stops every run that carries the token, now and later.
    pub fn fire(&self) {
        // SAFETY: the token lives as long as `self`.
        unsafe { ffi::adadiff_cancel_token_fire(self.0) }
    }

    pub fn fired(&self) -> bool {
        // SAFETY: as above.
        unsafe { ffi::adadiff_cancel_token_fired(self.0) != 0 }
    }
}

impl Clone for CancelToken {
    fn clone(&self) -> CancelToken {
        // SAFETY: the token lives as long as `self`; the clone owns the added reference.
        CancelToken(unsafe { ffi::adadiff_cancel_token_retain(self.0) })
    }
}

impl Drop for CancelToken {
    fn drop(&mut self) {
        // SAFETY: one reference belongs to `self`.
        unsafe { ffi::adadiff_cancel_token_release(self.0) }
    }
}

/// What a callback wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Continue,
    /// The call ends with `Status::Cancelled`.
    Stop,
}

/// What a run is doing.
#[derive(Clone, Debug)]
pub struct Progress {
    /// "load", "text_encode", "policy", "denoise" or "decode".
    pub stage: String,
    /// Units of the stage that are finished: 0 when it begins, `total` when it ends.
    pub step: i64,
    pub total: i64,
    pub detail: String,
    pub elapsed_ms: f64,
}

/// The state after one sampling step; the slices live during the callback.
#[derive(Debug)]
pub struct Preview<'a> {
    /// Step just finished, from 0.
    pub step: i64,
    pub total: i64,
    pub timestep: f64,
    /// (count, channels, height, width) of both slices.
    pub shape: [usize; 4],
    pub latents: &'a [f32],
    /// The clean latents as predicted at this step; `None` when the scheduler has none.
    pub predicted_original: Option<&'a [f32]>,
}

/// A picture to judge; the slice lives during the callback.
#[derive(Debug)]
pub struct Scoring<'a> {
    pub prompt: String,
    /// Sampling steps and seed of the picture.
    pub steps: i64,
    pub seed: i64,
    /// (height, width, channels) of the pixels, top row first.
    pub shape: [usize; 3],
    pub pixels: &'a [u8],
}

#[derive(Default)]
struct Callbacks {
    progress: Option<Box<dyn FnMut(&Progress) -> Flow + Send>>,
    preview: Option<Box<dyn FnMut(&Preview<'_>) -> Flow + Send>>,
    score: Option<Box<dyn FnMut(&Scoring<'_>) -> f64 + Send>>,
    panic: Option<Box<dyn Any + Send>>,
}

/// Named settings of a call; the names are documented at `adadiff_options` in adadiff.h.
pub struct Options {
    handle: *mut ffi::adadiff_options,
    /// A raw box: the library holds its address, and callbacks write through it during a call.
    callbacks: *mut Callbacks,
}

// SAFETY: the handle has no ties to a thread, and the callbacks are `Send`. Not `Sync`: a call runs the callbacks through
// a shared reference, which two threads must not do at once.
unsafe impl Send for Options {}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}

impl Options {
    /// Every option at its default. When memory is exhausted the first call that receives the options fails.
    pub fn new() -> Options {
        // SAFETY: no arguments.
        let handle = unsafe { ffi::adadiff_options_new() };
        Options { handle, callbacks: Box::into_raw(Box::default()) }
    }

    pub(crate) fn handle(&self) -> *const ffi::adadiff_options {
        self.handle
    }

    /// Also takes numbers and booleans in text form.
    pub fn set_text(&mut self, name: &str, value: &str) -> Result<&mut Options, Error> {
        let (name, value) = (c_string(name, "option name")?, c_string(value, "option value")?);
        // SAFETY: live handle, live strings; the same holds for the setters below.
        check(|error| unsafe { ffi::adadiff_options_set_string(self.handle, name.as_ptr(), value.as_ptr(), error) })?;
        Ok(self)
    }

    pub fn set_int(&mut self, name: &str, value: i64) -> Result<&mut Options, Error> {
        let name = c_string(name, "option name")?;
        check(|error| unsafe { ffi::adadiff_options_set_int(self.handle, name.as_ptr(), value, error) })?;
        Ok(self)
    }

    pub fn set_float(&mut self, name: &str, value: f64) -> Result<&mut Options, Error> {
        let name = c_string(name, "option name")?;
        check(|error| unsafe { ffi::adadiff_options_set_float(self.handle, name.as_ptr(), value, error) })?;
        Ok(self)
    }

    pub fn set_bool(&mut self, name: &str, value: bool) -> Result<&mut Options, Error> {
        let name = c_string(name, "option name")?;
        check(|error| unsafe { ffi::adadiff_options_set_bool(self.handle, name.as_ptr(), value.into(), error) })?;
        Ok(self)
    }

    /// A row-major array; `shape` must multiply to the number of values.
    pub fn set_floats(&mut self, name: &str, values: &[f32], shape: &[usize]) -> Result<&mut Options, Error> {
        let dims = checked_dims(shape, values.len(), name)?;
        let name = c_string(name, "option name")?;
        check(|error| unsafe {
            ffi::adadiff_options_set_floats(
                self.handle,
                name.as_ptr(),
                values.as_ptr(),
                dims.as_ptr(),
                dims.len() as i32,
                error,
            )
        })?;
        Ok(self)
    }

    /// Runs on the calling thread during calls; a panic stops the run and continues in the caller.
    pub fn on_progress(
        &mut self,
        callback: impl FnMut(&Progress) -> Flow + Send + 'static,
    ) -> Result<&mut Options, Error> {
        // SAFETY: `&mut self`, so no call with these options is in progress.
        unsafe { (*self.callbacks).progress = Some(Box::new(callback)) };
        check(|error| unsafe {
            ffi::adadiff_options_set_progress(self.handle, Some(forward_progress), self.callbacks.cast(), error)
        })?;
        Ok(self)
    }

    /// As `on_progress`, after every sampling step.
    pub fn on_preview(
        &mut self,
        callback: impl FnMut(&Preview<'_>) -> Flow + Send + 'static,
    ) -> Result<&mut Options, Error> {
        // SAFETY: as in `on_progress`.
        unsafe { (*self.callbacks).preview = Some(Box::new(callback)) };
        check(|error| unsafe {
            ffi::adadiff_options_set_preview(self.handle, Some(forward_preview), self.callbacks.cast(), error)
        })?;
        Ok(self)
    }

    /// The scorer "host" of `policy::collect`: larger is better, finite. A panic continues in the caller.
    pub fn on_score(
        &mut self,
        callback: impl FnMut(&Scoring<'_>) -> f64 + Send + 'static,
    ) -> Result<&mut Options, Error> {
        // SAFETY: as in `on_progress`.
        unsafe { (*self.callbacks).score = Some(Box::new(callback)) };
        check(|error| unsafe {
            ffi::adadiff_options_set_scorer(self.handle, Some(forward_score), self.callbacks.cast(), error)
        })?;
        Ok(self)
    }

    pub fn cancel_with(&mut self, token: &CancelToken) -> Result<&mut Options, Error> {
        check(|error| unsafe { ffi::adadiff_options_set_cancel_token(self.handle, token.0, error) })?;
        Ok(self)
    }

    /// Continues a panic that a callback had to hold back during a call.
    pub(crate) fn resume_panic(&self) {
        // SAFETY: the call has ended, so nothing else reaches the callbacks; `Options` is not `Sync`.
        if let Some(panic) = unsafe { (*self.callbacks).panic.take() } {
            resume_unwind(panic)
        }
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: both were made in `new` and belong to `self`; calls borrow the options, so none is in progress.
        unsafe {
            ffi::adadiff_options_free(self.handle);
            drop(Box::from_raw(self.callbacks));
        }
    }
}

/// Sizes for C, when they multiply to `count`.
pub(crate) fn checked_dims(shape: &[usize], count: usize, what: &str) -> Result<Vec<i64>, Error> {
    let product = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    if product != Some(count) || shape.len() > i32::MAX as usize {
        return Err(Error::new(
            Status::ShapeMismatch,
            format!("'{what}': {count} values do not fill the shape {shape:?}"),
        ));
    }
    Ok(shape.iter().map(|&size| size as i64).collect())
}

/// Runs a callback; its panic must not unwind through the library's frames.
fn guarded(callbacks: &mut Callbacks, body: impl FnOnce(&mut Callbacks) -> Flow) -> i32 {
    match catch_unwind(AssertUnwindSafe(|| body(callbacks))) {
        Ok(Flow::Continue) => 0,
        Ok(Flow::Stop) => 1,
        Err(panic) => {
            callbacks.panic = Some(panic);
            -1
        }
    }
}

unsafe extern "C" fn forward_progress(report: *const ffi::adadiff_progress, user: *mut c_void) -> i32 {
    // SAFETY: the library passes a filled report and the pointer it was given, on the thread that made the call.
    let (report, callbacks) = (&*report, &mut *user.cast::<Callbacks>());
    let progress = Progress {
        stage: text(report.stage_name).unwrap_or_default(),
        step: report.step,
        total: report.total,
        detail: text(report.detail).unwrap_or_default(),
        elapsed_ms: report.elapsed_ms,
    };
    guarded(callbacks, |callbacks| callbacks.progress.as_mut().map_or(Flow::Continue, |body| body(&progress)))
}

unsafe extern "C" fn forward_preview(report: *const ffi::adadiff_preview, user: *mut c_void) -> i32 {
    // SAFETY: as above; both arrays have the shape that the report tells.
    let (report, callbacks) = (&*report, &mut *user.cast::<Callbacks>());
    let shape = [report.count, report.channels, report.height, report.width].map(|size| size as usize);
    let count = shape.iter().product();
    let preview = Preview {
        step: report.step,
        total: report.total,
        timestep: report.timestep,
        shape,
        latents: slice::from_raw_parts(report.latents, count),
        predicted_original: (!report.predicted_original.is_null())
            .then(|| slice::from_raw_parts(report.predicted_original, count)),
    };
    guarded(callbacks, |callbacks| callbacks.preview.as_mut().map_or(Flow::Continue, |body| body(&preview)))
}

unsafe extern "C" fn forward_score(report: *mut ffi::adadiff_scoring, user: *mut c_void) -> i32 {
    // SAFETY: as above; the pixels have the size that the report tells, and `score` is the callback's to write.
    let (report, callbacks) = (&mut *report, &mut *user.cast::<Callbacks>());
    let shape = [report.height, report.width, report.channels].map(|size| size as usize);
    let scoring = Scoring {
        prompt: text(report.prompt).unwrap_or_default(),
        steps: report.steps,
        seed: report.seed,
        shape,
        pixels: slice::from_raw_parts(report.pixels, shape.iter().product()),
    };
    guarded(callbacks, |callbacks| {
        report.score = callbacks.score.as_mut().map_or(f64::NAN, |body| body(&scoring));
        Flow::Continue
    })
}
