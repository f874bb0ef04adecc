//! How a product is computed.

use super::Precision;
use crate::arch::has_bf16;
#[cfg(target_arch = "x86_64")]
use crate::arch::has_unit;

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
        #[cfg(target_arch = "x86_64")]
        {
            // Staged in three parts, operands with less than that cost more than the unit saves.
            let large = depth >= 32 && cols >= 32;
            match precision {
                Precision::F32Split if has_unit() && large => return Self::Tiles { parts: 3 },
                Precision::Bf16 if has_unit() => return Self::Tiles { parts: 1 },
                Precision::Bf16 if has_bf16() && !bf16_is_slow() => return Self::Pairs,
                _ => {}
            }
        }
        let _ = (depth, cols);
        assert!(precision != Precision::Bf16 || has_bf16(), "precision bf16 without its instructions");
        Self::Vectors
    }

    /// The fastest method of this precision for gradients of weights of that size, from some ten to a hundred rows at a time.
    ///
    /// # Panics
    /// As [`Method::of`].
    pub fn of_gradient(precision: Precision, size: [usize; 2]) -> Self {
        let method = Self::of(precision, size);
        // Both operands are staged anew, one of them turned: in three parts that pays for large weights alone.
        #[cfg(target_arch = "x86_64")]
        if method == (Self::Tiles { parts: 3 }) && (size[0].min(size[1]) < 64 || size[0].max(size[1]) < 128) {
            return Self::Vectors;
        }
        method
    }

    /// The fastest method of this precision for rows that are put together of runs of neighboring numbers, and weights of that
    /// size: with vectors, or rounded by the matrix unit.
    pub fn of_runs(precision: Precision, [depth, cols]: [usize; 2]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if precision == Precision::Bf16 && has_unit() && depth >= 32 && cols >= 16 {
            return Self::Tiles { parts: 1 };
        }
        let _ = (precision, depth, cols);
        Self::Vectors
    }

    /// In words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Vectors => "32 bits by vector instructions",
            #[cfg(target_arch = "x86_64")]
            Self::Pairs => "bf16 by vector instructions (AVX512-BF16)",
            #[cfg(target_arch = "x86_64")]
            Self::Tiles { parts: 1 } => "bf16 by the matrix unit (AMX)",
            #[cfg(target_arch = "x86_64")]
            Self::Tiles { .. } => "32 bits in three parts of bf16 by the matrix unit (AMX)",
        }
    }
}

/// Whether this processor's bf16 vector instructions take more time than those of 32 bits. On Intel's they were measured to
/// reach half the rate of 32 bits, on AMD's (Zen 4 and 5) one and a half times.
#[cfg(target_arch = "x86_64")]
fn bf16_is_slow() -> bool {
    use std::arch::x86_64::__cpuid;
    let vendor = __cpuid(0);
    [vendor.ebx, vendor.edx, vendor.ecx] == [*b"Genu", *b"ineI", *b"ntel"].map(u32::from_le_bytes)
}
