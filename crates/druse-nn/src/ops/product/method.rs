//! How a product is computed.

use crate::Precision;
use crate::arch::arch;

/// How a product is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Method {
    /// In 32 bits, by vector instructions.
    Vectors,
    /// Rounded to bf16, by vector instructions (AVX512-BF16).
    #[cfg(target_arch = "x86_64")]
    Pairs,
    /// By the matrix unit (AMX): rounded to bf16, or in three parts that make up 32 bits.
    #[cfg(target_arch = "x86_64")]
    Tiles { parts: usize },
}

impl Method {
    /// The fastest method of this precision for weights with so many rows (depth) and columns. Rows of the left operand
    /// must not count: a row's result would depend on how many there are.
    ///
    /// # Panics
    /// When the processor lacks the precision: ask [`Precision::check`] first.
    pub fn of(precision: Precision, [depth, cols]: [usize; 2]) -> Self {
        let _ = (depth, cols);
        match precision {
            Precision::F32Strict => Self::Vectors,
            #[cfg(target_arch = "x86_64")]
            Precision::F32 if has_unit() && depth >= 32 && cols >= 32 => Self::Tiles { parts: 3 },
            Precision::F32 => Self::Vectors,
            #[cfg(target_arch = "x86_64")]
            Precision::Bf16 if has_unit() => Self::Tiles { parts: 1 },
            #[cfg(target_arch = "x86_64")]
            Precision::Bf16 if crate::arch::has_bf16() => Self::Pairs,
            Precision::Bf16 => panic!("precision bf16 without its instructions"),
        }
    }
}

/// Whether the matrix unit may be used; in tests, where vector instructions are forced, only with the widest.
#[cfg(target_arch = "x86_64")]
fn has_unit() -> bool {
    matches!(arch(), pulp::Arch::V4(_)) && super::amx::available()
}
