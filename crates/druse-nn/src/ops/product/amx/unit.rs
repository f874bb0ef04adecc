//! The unit's configuration.

use std::arch::asm;

use crate::arch::has_unit;

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
    assert!(has_unit(), "products for the matrix unit without it");
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
