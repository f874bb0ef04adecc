//! Which vector instructions operations by hand use: in this crate, and in those with operations of their own.

#[cfg(target_arch = "x86_64")]
mod unit;

use pulp::Arch;

/// The widest vector instructions of this processor; in this crate's tests also narrower ones.
#[inline]
pub fn arch() -> Arch {
    #[cfg(test)]
    if let Some(arch) = testing::forced() {
        return arch;
    }
    Arch::new()
}

/// The processor's kind and the vector instructions that operations by hand use, in a word each: numbers of two processes are
/// the same to the last bit where these are.
pub fn instructions() -> String {
    let widest = format!("{:?}", arch());
    let name = widest.split('(').next().unwrap_or_default();
    let bf16 = if has_bf16() { "+bf16" } else { "" };
    let unit = if has_unit() { "+amx" } else { "" };
    format!("{} {name}{bf16}{unit}", std::env::consts::ARCH)
}

/// Whether products may use a matrix unit of the processor (AMX). In this crate's tests, where vector instructions are
/// forced, only with the widest.
pub fn has_unit() -> bool {
    #[cfg(target_arch = "x86_64")]
    return matches!(arch(), Arch::V4(_)) && unit::available();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Whether this processor multiplies bf16 (AVX512-BF16).
pub(crate) fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// What a closure gives away to be one that is called once.
pub(crate) struct Once;

/// Runs the body compiled for the widest vector instructions of this processor.
///
/// The closure gives a value away, so that it can be called once only: one that could be called again is called by way of a
/// function that the compiler leaves out of line when the body is long, and compiles for the least of all processors.
macro_rules! vectorized {
    ($body:expr) => {{
        let once = $crate::arch::Once;
        $crate::arch::arch().dispatch(
            #[inline(always)]
            || {
                let _given: $crate::arch::Once = once;
                $body
            },
        )
    }};
}
pub(crate) use vectorized;

#[cfg(test)]
pub(crate) mod testing {
    use std::cell::Cell;

    use pulp::Arch;

    thread_local! {
        static FORCED: Cell<Option<Arch>> = const { Cell::new(None) };
    }

    pub(super) fn forced() -> Option<Arch> {
        FORCED.get()
    }

    /// Every kind of vector instructions that this processor has, the scalar ones included.
    pub(crate) fn available() -> Vec<Arch> {
        let mut all = vec![Arch::Scalar];
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        {
            all.extend(pulp::x86::V3::try_new().map(Arch::V3));
            all.extend(pulp::x86::V4::try_new().map(Arch::V4));
        }
        #[cfg(target_arch = "aarch64")]
        all.extend(pulp::aarch64::Neon::try_new().map(Arch::Neon));
        all
    }

    /// Runs `work` once with each of [`available`] on this thread.
    pub(crate) fn on_every_arch(mut work: impl FnMut()) {
        for arch in available() {
            FORCED.set(Some(arch));
            work();
        }
        FORCED.set(None);
    }
}
