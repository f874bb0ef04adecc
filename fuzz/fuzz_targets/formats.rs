//! For each format of the table, any text is either a structure whose file can be read again, or an error: never a panic.
//! Bytes that are no UTF-8 stand for the characters of Latin-1.
#![no_main]

use druse_crystal::formats::{Format, read_str, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = std::str::from_utf8(bytes)
        .map_or_else(|_| bytes.iter().copied().map(char::from).collect(), str::to_owned);
    Format::all().for_each(|format| check(&text, format));
});

fn check(text: &str, format: Format) {
    let Ok(parsed) = read_str(text, format) else { return };
    for p in parsed {
        assert_eq!(p.structure.species.len(), p.structure.frac_coords.len());
        assert!(p.structure.frac_coords.as_flattened().iter().all(|x| (0.0..1.0).contains(x)));
        // Extreme cells and atoms that nearly coincide lose their digits in writing; others must come back whole.
        let lengths = p.structure.lattice.lengths();
        let sane = lengths.iter().all(|l| (0.5..1e3).contains(l))
            && p.structure.lattice.volume() > 0.1 * lengths.iter().product::<f64>();
        if sane && p.structure.len() < 30 && p.structure.min_distance().is_none_or(|d| d > 0.02) {
            let again = read_str(&write(&p.structure, format, &p.name), format)
                .expect("what was written can be read");
            assert_eq!(again[0].structure.len(), p.structure.len());
        }
    }
}
