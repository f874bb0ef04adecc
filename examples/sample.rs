//! Samples crystals of a composition with the model that ships, and prints them as CIF.
//!
//! ```text
//! cargo run --release --example sample -- LiFeO2 2
//! ```
#![allow(clippy::print_stdout, reason = "an example reports to the terminal")]

use druse::crystal::Composition;
use druse::crystal::formats::{Format, write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let formula = arguments.next().unwrap_or_else(|| "LiFeO2".into());
    let count = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let model = druse::shipped_model()?;
    for finished in model.sample(vec![Composition::parse(&formula)?.into()], count, 0)? {
        match finished.result {
            Ok(structure) => println!("{}", write(&structure, Format::Cif, &formula)),
            Err(reason) => eprintln!("structure {}: {reason}", finished.index),
        }
    }
    Ok(())
}
