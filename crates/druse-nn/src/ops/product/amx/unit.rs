//! Whether the unit is there and may be used, and its configuration.

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, __get_cpuid_max};
use std::sync::LazyLock;

/// Whether this process may use the unit: the processor has it with bf16, the vector instructions that fill it are there,
/// and the operating system has allowed it.
pub(crate) fn available() -> bool {
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

/// What the unit reads when it is configured: eight registers of 16 rows of 64 bytes.
#[derive(PartialEq)]
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

const WHOLE: Configuration = {
    let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
    let mut i = 0;
    while i < 8 {
        (row_bytes[i], rows[i]) = (64, 16);
        i += 1;
    }
    Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
};

/// Configures the unit for this thread, unless it is. Other code of the process may have used it meanwhile; to ask costs a
/// tenth of configuring.
///
/// # Panics
/// When the unit is not available.
pub(super) fn configure() {
    assert!(available(), "products for the matrix unit without it");
    let mut now =
        Configuration { palette: 0, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    // SAFETY: the unit may be used, and both blocks of memory have the size and form of a configuration.
    unsafe {
        asm!("sttilecfg [{}]", in(reg) &raw mut now, options(nostack, preserves_flags));
        if now != WHOLE {
            asm!(
                "ldtilecfg [{}]", in(reg) &WHOLE,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, preserves_flags),
            );
        }
    }
}
