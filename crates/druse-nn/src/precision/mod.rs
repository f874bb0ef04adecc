//! Precision of matrix products.

mod method;

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arch::has_bf16;
use crate::device::is_host;
pub(crate) use method::Method;

/// How the operands of the products with weights are represented. Sums, activations, geometry, weights between the
/// steps and everything else are 32-bit floats in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32-bit floats in products of 32 bits on every processor (`f32-strict` is another name for it).
    #[default]
    #[serde(alias = "f32-strict")]
    F32,
    /// Numbers split into three parts of bf16 and multiplied by the matrix unit (AMX), with an error that is not larger than
    /// that of 32-bit products, which they are on processors without one. Faster where the unit keeps its rate.
    F32Split,
    /// Rounded to bf16 (8 significant bits), summed in 32 bits: several times as fast on processors with a matrix unit
    /// (AMX), up to twice on others with AVX512-BF16.
    Bf16,
}

/// A precision that cannot be had here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrecisionError {
    /// The text names no precision.
    #[error("unknown precision `{0}`: expected f32, f32-split or bf16")]
    Unknown(String),
    /// The processor has no instructions for it.
    #[error("precision bf16 needs a processor with AVX512-BF16, which this one lacks; use f32")]
    Processor,
    /// There is no such path for this kind of device.
    #[error("precision bf16 is there for the CPU only, so far; use f32 on GPUs")]
    Device,
}

impl Precision {
    /// Checks that `device` can compute in this precision.
    ///
    /// # Errors
    /// [`PrecisionError`], when it cannot.
    pub fn check(self, device: &Device) -> Result<(), PrecisionError> {
        match self {
            Self::F32 | Self::F32Split => Ok(()),
            Self::Bf16 if !is_host(device) => Err(PrecisionError::Device),
            Self::Bf16 if !has_bf16() => Err(PrecisionError::Processor),
            Self::Bf16 => Ok(()),
        }
    }
}

impl Precision {
    /// How this processor computes products with weights in this precision, in words; where it is a GPU that computes them
    /// nothing follows from it.
    ///
    /// # Panics
    /// When it cannot: ask [`Precision::check`] first.
    pub fn products(self) -> &'static str {
        Method::of(self, [128, 128]).describe()
    }

    /// What is to be said of this precision on `device`: that products of bf16 would be slower than those of 32 bits and are
    /// computed in these.
    pub fn remark(self, device: &Device) -> Option<String> {
        let replaced = self == Self::Bf16
            && self.check(device).is_ok()
            && Method::of(self, [128, 128]) == Method::Vectors;
        replaced.then(|| {
            "the bf16 instructions of this processor are slower than those of 32 bits: products are computed in f32"
                .to_owned()
        })
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F32Split => "f32-split",
            Self::Bf16 => "bf16",
        })
    }
}

impl FromStr for Precision {
    type Err = PrecisionError;

    fn from_str(text: &str) -> Result<Self, PrecisionError> {
        match text {
            "f32" | "f32-strict" => Ok(Self::F32),
            "f32-split" => Ok(Self::F32Split),
            "bf16" => Ok(Self::Bf16),
            _ => Err(PrecisionError::Unknown(text.to_owned())),
        }
    }
}

thread_local! {
    static CURRENT: Cell<Precision> = const { Cell::new(Precision::F32) };
}

/// Runs `work` with products of this precision on the calling thread, the backward pass included if it is part of
/// `work`. Falls back to nothing: ask [`Precision::check`] first.
pub(crate) fn with_precision<T>(precision: Precision, work: impl FnOnce() -> T) -> T {
    /// Restores the precision, also when `work` panics.
    struct Guard(Precision);
    impl Drop for Guard {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _guard = Guard(CURRENT.replace(precision));
    work()
}

/// The precision of the calling thread.
pub(crate) fn current() -> Precision {
    CURRENT.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precisions_have_names() {
        for p in [Precision::F32, Precision::F32Split, Precision::Bf16] {
            assert_eq!(p.to_string().parse(), Ok(p));
            assert_eq!(serde_json::to_string(&p).unwrap(), format!("\"{p}\""));
        }
        assert_eq!("f32-strict".parse(), Ok(Precision::F32));
        assert_eq!(serde_json::from_str::<Precision>("\"f32-strict\"").unwrap(), Precision::F32);
        assert!("fp8".parse::<Precision>().unwrap_err().to_string().contains("bf16"));
        assert!(Precision::F32.check(&crate::device::cpu()).is_ok());
    }

    #[test]
    fn a_panic_restores_the_precision() {
        let panicked = std::panic::catch_unwind(|| with_precision(Precision::Bf16, || panic!("no")));
        assert!(panicked.is_err());
        assert_eq!(current(), Precision::F32);
    }
}
