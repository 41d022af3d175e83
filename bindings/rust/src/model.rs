use crate::error::{c_string, check, text};
use crate::options::checked_dims;
use crate::{ffi, Error, Options, Status};
use std::{mem, ptr, slice};

/// Element types that Rust has; the numbers of ONNX's TensorProto.DataType.
pub trait ElementType: Copy + 'static {
    const CODE: i32;
}

macro_rules! element_types {
    ($($rust:ty => $code:literal),*) => { $( impl ElementType for $rust { const CODE: i32 = $code; } )* };
}
element_types!(f32 => 1, u8 => 2, i8 => 3, u16 => 4, i16 => 5, i32 => 6, i64 => 7, f64 => 11, u32 => 12, u64 => 13);

/// A named input over the caller's memory.
pub struct TensorView<'a> {
    name: &'a str,
    code: i32,
    dims: Vec<i64>,
    bytes: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// `shape` must multiply to the number of values.
    pub fn new<T: ElementType>(name: &'a str, values: &'a [T], shape: &[usize]) -> Result<TensorView<'a>, Error> {
        let dims = checked_dims(shape, values.len(), name)?;
        // SAFETY: the element types are plain numbers without padding.
        let bytes = unsafe { slice::from_raw_parts(values.as_ptr().cast(), mem::size_of_val(values)) };
        Ok(TensorView { name, code: T::CODE, dims, bytes })
    }
}

/// An output, copied out of the library.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    code: i32,
    bytes: Vec<u8>,
}

impl Tensor {
    /// The elements; `None` when they have another type.
    pub fn values<T: ElementType>(&self) -> Option<Vec<T>> {
        (self.code == T::CODE).then(|| {
            // SAFETY: every bit pattern is a value of the plain number types; the read allows any alignment.
            self.bytes
                .chunks_exact(mem::size_of::<T>())
                .map(|chunk| unsafe { ptr::read_unaligned(chunk.as_ptr().cast()) })
                .collect()
        })
    }
}

/// Any ONNX graph. Immutable; several threads may run it at once.
pub struct Model(*mut ffi::adadiff_model);

// SAFETY: the header promises that a model is immutable, thread-safe, and not tied to a thread.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

impl Model {
    /// Opens a file; external data is looked for in its folder only.
    pub fn open(path: &str, options: &Options) -> Result<Model, Error> {
        let path = c_string(path, "path")?;
        let mut handle = ptr::null_mut();
        // SAFETY: live arguments for the time of the call.
        check(|error| unsafe { ffi::adadiff_model_open(path.as_ptr(), options.handle(), &mut handle, error) })?;
        Ok(Model(handle))
    }

    /// A JSON object: inputs, outputs, opset, operators, parameters.
    pub fn info(&self) -> String {
        // SAFETY: live handle; the string is copied.
        unsafe { text(ffi::adadiff_model_info(self.0)).unwrap_or_default() }
    }

    /// Runs on `inputs`, found by name, and returns all outputs. String outputs are `Unsupported` here.
    pub fn run(&self, inputs: &[TensorView<'_>], options: &Options) -> Result<Vec<Tensor>, Error> {
        let names = inputs.iter().map(|input| c_string(input.name, "input name")).collect::<Result<Vec<_>, _>>()?;
        let views: Vec<_> = inputs
            .iter()
            .zip(&names)
            .map(|(input, name)| ffi::adadiff_tensor {
                struct_size: mem::size_of::<ffi::adadiff_tensor>(),
                name: name.as_ptr(),
                element_type: input.code,
                rank: input.dims.len() as i32,
                dims: input.dims.as_ptr(),
                // The library only reads inputs.
                data: input.bytes.as_ptr().cast_mut().cast(),
                byte_count: input.bytes.len(),
            })
            .collect();
        let mut handle = ptr::null_mut();
        // SAFETY: the views point into `inputs`, which outlive the call.
        check(|error| unsafe {
            ffi::adadiff_model_run(
                self.0,
                views.as_ptr(),
                views.len() as i32,
                ptr::null(),
                0,
                options.handle(),
                &mut handle,
                error,
            )
        })?;
        let tensors = Tensors(handle);
        // SAFETY: live handle.
        let count = unsafe { ffi::adadiff_tensors_count(tensors.0) };
        (0..count).map(|index| tensors.copy(index)).collect()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: the handle belongs to `self`.
        unsafe { ffi::adadiff_model_free(self.0) }
    }
}

struct Tensors(*mut ffi::adadiff_tensors);

impl Tensors {
    fn copy(&self, index: i32) -> Result<Tensor, Error> {
        const STRING: i32 = 8;
        // SAFETY: an all-zero view is valid; the library fills it and its memory lives as long as `self`.
        unsafe {
            let mut view: ffi::adadiff_tensor = mem::zeroed();
            view.struct_size = mem::size_of::<ffi::adadiff_tensor>();
            check(|error| ffi::adadiff_tensors_get(self.0, index, &mut view, error))?;
            let name = text(view.name).unwrap_or_default();
            if view.element_type == STRING {
                return Err(Error::new(Status::Unsupported, format!("output '{name}' holds strings")));
            }
            let rank = if view.dims.is_null() { 0 } else { view.rank as usize };
            let dims = if rank == 0 { &[][..] } else { slice::from_raw_parts(view.dims, rank) };
            let size = if view.data.is_null() { 0 } else { view.byte_count };
            let bytes = if size == 0 { &[][..] } else { slice::from_raw_parts(view.data.cast::<u8>(), size) };
            Ok(Tensor {
                name,
                shape: dims.iter().map(|&size| size as usize).collect(),
                code: view.element_type,
                bytes: bytes.to_vec(),
            })
        }
    }
}

impl Drop for Tensors {
    fn drop(&mut self) {
        // SAFETY: the handle belongs to `self`.
        unsafe { ffi::adadiff_tensors_free(self.0) }
    }
}
