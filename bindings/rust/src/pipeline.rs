use crate::error::{c_string, check, text};
use crate::{ffi, Error, Options, Status};
use std::{ptr, slice};

/// Weights and settings of a diffusion pipeline. Immutable; threads share it, each with a session of its own.
pub struct Pipeline(pub(crate) *mut ffi::adadiff_pipeline);

// SAFETY: the header promises that a pipeline is immutable, thread-safe, and not tied to the thread that opened it.
unsafe impl Send for Pipeline {}
// SAFETY: as above.
unsafe impl Sync for Pipeline {}

impl Pipeline {
    /// Opens a folder in the layout that `optimum-cli export onnx` writes.
    pub fn open(folder: &str, options: &Options) -> std::result::Result<Pipeline, Error> {
        let folder = c_string(folder, "path")?;
        let mut handle = ptr::null_mut();
        // SAFETY: live arguments for the time of the call.
        let outcome =
            check(|error| unsafe { ffi::adadiff_pipeline_open(folder.as_ptr(), options.handle(), &mut handle, error) });
        options.resume_panic();
        outcome.map(|()| Pipeline(handle))
    }

    /// A JSON object: components, scheduler, native size, policy, warnings.
    pub fn info(&self) -> String {
        // SAFETY: live handle; the string is copied.
        unsafe { text(ffi::adadiff_pipeline_info(self.0)).unwrap_or_default() }
    }

    /// The state of one run at a time; keep it for many runs. It holds the pipeline's weights itself.
    pub fn session(&self) -> std::result::Result<Session, Error> {
        let mut handle = ptr::null_mut();
        // SAFETY: live handle.
        check(|error| unsafe { ffi::adadiff_session_new(self.0, &mut handle, error) })?;
        Ok(Session(handle))
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // SAFETY: the handle belongs to `self`.
        unsafe { ffi::adadiff_pipeline_free(self.0) }
    }
}

/// Runs of a pipeline, one at a time.
pub struct Session(*mut ffi::adadiff_session);

// SAFETY: any thread may use a session, one at a time; `generate` takes `&mut self`, so it is not `Sync`.
unsafe impl Send for Session {}

impl Session {
    /// Text to image. The session stays usable after a failed or cancelled run.
    pub fn generate(&mut self, prompt: &str, options: &Options) -> std::result::Result<Result, Error> {
        let prompt = c_string(prompt, "prompt")?;
        let mut handle = ptr::null_mut();
        // SAFETY: live arguments for the time of the call.
        let outcome = check(|error| unsafe {
            ffi::adadiff_session_generate(self.0, prompt.as_ptr(), options.handle(), &mut handle, error)
        });
        options.resume_panic();
        outcome.map(|()| Result(handle))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: the handle belongs to `self`.
        unsafe { ffi::adadiff_session_free(self.0) }
    }
}

/// One picture: height × width × 3 bytes (red, green, blue), top row first.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    pub pixels: &'a [u8],
    pub width: usize,
    pub height: usize,
}

/// The outcome of one run.
pub struct Result(*mut ffi::adadiff_result);

// SAFETY: the header promises that a result is readable from any thread and independent of session and pipeline.
unsafe impl Send for Result {}
// SAFETY: as above; nothing changes it.
unsafe impl Sync for Result {}

impl Result {
    pub fn image_count(&self) -> usize {
        // SAFETY: live handle, here and below.
        unsafe { ffi::adadiff_result_image_count(self.0).max(0) as usize }
    }

    pub fn image(&self, index: usize) -> Option<Image<'_>> {
        let index = i32::try_from(index).ok()?;
        // SAFETY: the pixels have the size that the result tells and live as long as `self`.
        unsafe {
            let pixels = ffi::adadiff_result_pixels(self.0, index);
            let width = ffi::adadiff_result_width(self.0) as usize;
            let height = ffi::adadiff_result_height(self.0) as usize;
            let channels = ffi::adadiff_result_channels(self.0) as usize;
            (!pixels.is_null()).then(|| Image {
                pixels: slice::from_raw_parts(pixels, width * height * channels),
                width,
                height,
            })
        }
    }

    pub fn save_png(&self, path: &str, index: usize) -> std::result::Result<(), Error> {
        let path = c_string(path, "path")?;
        let index =
            i32::try_from(index).map_err(|_| Error::new(Status::OutOfRange, format!("there is no image {index}")))?;
        check(|error| unsafe { ffi::adadiff_result_save_png(self.0, index, path.as_ptr(), error) })
    }

    /// Final latents and their shape (count, channels, height, width).
    pub fn latents(&self) -> Option<(&[f32], [usize; 4])> {
        let mut dims = [0i64; 4];
        // SAFETY: four sizes are written; the values live as long as `self`.
        unsafe {
            let values = ffi::adadiff_result_latents(self.0, dims.as_mut_ptr());
            let shape = dims.map(|size| size as usize);
            (!values.is_null()).then(|| (slice::from_raw_parts(values, shape.iter().product()), shape))
        }
    }

    /// The whole report as JSON.
    pub fn report(&self) -> String {
        unsafe { text(ffi::adadiff_result_report(self.0)).unwrap_or_default() }
    }

    pub fn seed(&self) -> i64 {
        unsafe { ffi::adadiff_result_seed(self.0) }
    }

    /// Steps that the caller or the policy asked for.
    pub fn steps(&self) -> i32 {
        unsafe { ffi::adadiff_result_steps_planned(self.0) }
    }

    /// Who chose the steps: "fixed", "scheduler_default", or the policy's name.
    pub fn policy(&self) -> String {
        unsafe { text(ffi::adadiff_result_policy(self.0)).unwrap_or_default() }
    }

    pub fn milliseconds(&self) -> f64 {
        unsafe { ffi::adadiff_result_total_ms(self.0) }
    }
}

impl Drop for Result {
    fn drop(&mut self) {
        // SAFETY: the handle belongs to `self`.
        unsafe { ffi::adadiff_result_free(self.0) }
    }
}
