//! The matrix unit of Intel's processors (AMX).

use std::arch::x86_64::{__cpuid_count, __get_cpuid_max};
use std::sync::LazyLock;

/// Whether this process may use the unit: the processor has it with bf16, the vector instructions that fill it are there,
/// and the operating system has allowed it.
pub(super) fn available() -> bool {
    static AVAILABLE: LazyLock<bool> = LazyLock::new(|| present() && permitted());
    *AVAILABLE
}

fn present() -> bool {
    const BF16: u32 = 1 << 22;
    const TILES: u32 = 1 << 24;
    __get_cpuid_max(0).0 >= 7
        && __cpuid_count(7, 0).edx & (BF16 | TILES) == BF16 | TILES
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
}

/// Asks for the right to use the registers: the kernel keeps their 8 kB for those threads alone whose process has asked.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const REQUEST: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    // SAFETY: the call reads its two numbers alone.
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST, TILE_DATA) == 0 }
}

/// Other systems do not say how they are asked.
#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}
