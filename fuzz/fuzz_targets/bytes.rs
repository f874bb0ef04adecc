//! Any bytes are a text or an error, and a text is read or refused in every format: never a panic.
#![no_main]

use std::path::Path;

use druse_crystal::content;
use druse_crystal::formats::{Format, read_str, species};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for name in ["POSCAR", "x.cif.gz"] {
        let Ok(unpacked) = content::unpack(Path::new(name), bytes) else { continue };
        // A bomb of zeros is the decompressor's matter, not the readers'.
        if unpacked.len() > 1 << 16 {
            continue;
        }
        let _ = content::decode_rows(&unpacked);
        let Ok(text) = content::decode(&unpacked) else { continue };
        assert!(!text.contains('\0'));
        let _ = (Format::from_content(&text), species(&text));
        for format in Format::all() {
            let _ = read_str(&text, format);
        }
    }
});
