//! ONNX diffusion pipelines on the CPU: a safe layer over `libadadiff`'s C interface, without dependencies.
//!
//! ```no_run
//! let pipeline = adadiff::Pipeline::open("models/emoji-scenes", &adadiff::Options::new())?;
//! let mut options = adadiff::Options::new();
//! options.set_text("steps", "auto")?.set_int("seed", 42)?;
//! let result = pipeline.session()?.generate("two cats and a tree", &options)?;
//! result.save_png("cats.png", 0)?;
//! # Ok::<(), adadiff::Error>(())
//! ```

mod error;
mod ffi;
mod model;
mod options;
mod pipeline;
pub mod policy;

pub use error::{Error, Status};
pub use model::{ElementType, Model, Tensor, TensorView};
pub use options::{CancelToken, Flow, Options, Preview, Progress, Scoring};
pub use pipeline::{Image, Pipeline, Result, Session};

/// Version of the loaded library.
pub fn version() -> String {
    // SAFETY: the library returns a static string.
    unsafe { error::text(ffi::adadiff_version()).unwrap_or_default() }
}

/// ABI version of the loaded library; this crate is written for 1.
pub fn abi_version() -> i32 {
    // SAFETY: no arguments, no state.
    unsafe { ffi::adadiff_abi_version() }
}
