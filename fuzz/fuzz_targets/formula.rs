//! Any text is either a formula that survives writing and reading, or an error: never a panic.
#![no_main]

use druse_crystal::Composition;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(composition) = Composition::parse(text) else { return };
    assert!((1..=Composition::MAX_ATOMS as usize).contains(&composition.num_atoms()));
    for written in [composition.to_string(), composition.formula()] {
        assert_eq!(Composition::parse(&written).as_ref(), Ok(&composition));
    }
    let reduced = Composition::parse(&composition.reduced_formula()).expect("a formula");
    assert_eq!(reduced.reduced().0, composition.reduced().0);
});
