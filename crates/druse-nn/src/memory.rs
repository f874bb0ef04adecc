//! Numbers read back from a device, and what is known when its memory does not suffice.
//!
//! On an accelerator operations are queued. An allocation that fails is no error at the place that asked for it: its
//! tensor is marked, operations that would read it are left out, and the reason appears when a number that depends on
//! it is read. The device stays usable, so the work can be repeated in smaller micro-batches. Some of the engine's paths
//! (uploads, WebGPU) panic instead; [`guarded`] turns those panics into the same error.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use burn::tensor::{Device, Tensor};

/// Why a device returned no numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComputeError {
    /// Its memory does not hold the work; smaller micro-batches may fit.
    #[error("the device is out of memory: {0}")]
    OutOfMemory(String),
    /// It failed for another reason.
    #[error("the device failed: {0}")]
    Device(String),
}

/// Words with which the engine reports that memory is missing (`cubecl` 0.11: `IoError::OutOfMemory`, `BufferTooBig`
/// and `PageSizesExhausted`, `LaunchError::OutOfMemory`; `wgpu`: `Error::OutOfMemory`), in lower case.
const SIGNS: [&str; 4] = ["out of device memory", "out-of-memory", "out of memory", "can't allocate"];

impl ComputeError {
    /// Sorts a report of the engine.
    pub fn from_report(report: &str) -> Self {
        // A report carries chains of causes and backtraces; its first lines say what happened.
        let words = report.lines().take(3).map(str::trim).collect::<Vec<_>>().join(" ");
        match signs_of_memory(report) {
            true => Self::OutOfMemory(words),
            false => Self::Device(words),
        }
    }

    /// Whether smaller micro-batches may help.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::OutOfMemory(_))
    }
}

fn signs_of_memory(report: &str) -> bool {
    let report = report.to_lowercase();
    SIGNS.iter().any(|sign| report.contains(sign))
}

/// Copies a tensor to the host, row-major.
///
/// # Errors
/// [`ComputeError`] when an operation that the tensor depends on failed.
pub fn to_host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ComputeError> {
    let data = tensor.try_into_data().map_err(|e| ComputeError::from_report(&e.to_string()))?;
    data.try_into_vec::<f32>().map_err(|e| ComputeError::Device(format!("expected 32-bit floats: {e:?}")))
}

/// Runs `work`; a panic that says that memory is missing becomes an error, any other panic goes on.
///
/// # Errors
/// Those of `work`, and [`ComputeError::OutOfMemory`].
pub fn guarded<T, E: From<ComputeError>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    // What the work has touched is dropped or computed anew by those who repeat it.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| match panic_message(panic.as_ref()) {
        Some(text) if signs_of_memory(text) => Err(ComputeError::from_report(text).into()),
        _ => resume_unwind(panic),
    })
}

/// What a panic said, where it said it in words.
pub fn panic_message(panic: &(dyn Any + Send)) -> Option<&str> {
    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied())
}

/// Gives memory that the device holds in reserve back, before work is repeated in smaller micro-batches.
pub fn release(device: &Device) {
    device.memory_cleanup();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::matrix;

    #[test]
    fn reports_are_sorted() {
        for report in [
            "An error happened during execution\nCaused by:\n  out of device memory allocating 1073741824 bytes",
            "An out-of-memory error happened during launch\nCaused by:\n  x",
            "can't allocate buffer of size: 17179869184",
            "wgpu error: Out of Memory",
        ] {
            assert!(ComputeError::from_report(report).is_out_of_memory(), "{report}");
        }
        let other = ComputeError::from_report("The device is poisoned\nCaused by:\n  status 700\n1: frame");
        assert_eq!(other, ComputeError::Device("The device is poisoned Caused by: status 700".into()));
    }

    #[test]
    fn only_panics_about_memory_become_errors() {
        let full = guarded::<(), ComputeError>(|| panic!("out of device memory allocating {} bytes", 8));
        assert!(full.unwrap_err().is_out_of_memory());
        let bug = catch_unwind(|| guarded::<(), ComputeError>(|| panic!("index out of bounds")));
        assert_eq!(panic_message(bug.unwrap_err().as_ref()), Some("index out of bounds"));
        assert_eq!(to_host(matrix(vec![1.0, 2.0], 2, &crate::device::cpu())).unwrap(), [1.0, 2.0]);
    }
}
