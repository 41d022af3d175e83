use crate::ffi;
use std::ffi::{c_char, CStr, CString};
use std::{fmt, ptr};

/// Stable status codes of the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    InvalidArgument,
    OutOfRange,
    NotFound,
    Io,
    Corrupt,
    Unsupported,
    TypeMismatch,
    ShapeMismatch,
    UnknownName,
    OutOfMemory,
    Cancelled,
    CallbackFailed,
    NotFinite,
    AbiMismatch,
    Internal,
}

impl Status {
    fn new(code: i32) -> Status {
        use Status::*;
        const KNOWN: [Status; 15] = [
            InvalidArgument,
            OutOfRange,
            NotFound,
            Io,
            Corrupt,
            Unsupported,
            TypeMismatch,
            ShapeMismatch,
            UnknownName,
            OutOfMemory,
            Cancelled,
            CallbackFailed,
            NotFinite,
            AbiMismatch,
            Internal,
        ];
        usize::try_from(code - 1).ok().and_then(|index| KNOWN.get(index).copied()).unwrap_or(Internal)
    }
}

/// A failure of the library; `Display` is one line with everything known.
#[derive(Clone, Debug)]
pub struct Error {
    pub status: Status,
    pub description: String,
    /// Pipeline component ("unet", "tokenizer", …).
    pub component: Option<String>,
    /// Node of the ONNX graph.
    pub node: Option<String>,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.description)
    }
}

impl std::error::Error for Error {}

impl Error {
    pub(crate) fn new(status: Status, description: impl Into<String>) -> Error {
        Error { status, description: description.into(), component: None, node: None }
    }
}

/// Copies a C string; `None` for NULL.
///
/// # Safety
/// `pointer` is NULL or a live NUL-terminated string.
pub(crate) unsafe fn text(pointer: *const c_char) -> Option<String> {
    (!pointer.is_null()).then(|| CStr::from_ptr(pointer).to_string_lossy().into_owned())
}

/// `value` for C; a NUL inside is an error.
pub(crate) fn c_string(value: &str, what: &str) -> Result<CString, Error> {
    CString::new(value).map_err(|_| Error::new(Status::InvalidArgument, format!("{what} contains a NUL character")))
}

/// Runs `call` with a place for the error object and turns what it left there into an `Error`.
pub(crate) fn check(call: impl FnOnce(*mut *mut ffi::adadiff_error) -> i32) -> Result<(), Error> {
    let mut raw = ptr::null_mut();
    let status = call(&mut raw);
    if status == 0 {
        return Ok(());
    }
    // SAFETY: `raw` is NULL or the error object of the failed call, which is ours; every function allows NULL.
    unsafe {
        let error = Error {
            status: Status::new(status),
            description: text(ffi::adadiff_error_description(raw)).unwrap_or_default(),
            component: text(ffi::adadiff_error_component(raw)),
            node: text(ffi::adadiff_error_node(raw)),
        };
        ffi::adadiff_error_free(raw);
        Err(error)
    }
}
