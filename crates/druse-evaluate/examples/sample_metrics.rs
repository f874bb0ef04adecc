//! Metrics of sampled structures against the data set whose compositions they were sampled for:
//!
//! ```text
//! druse sample --like test.csv --format jsonl --out samples
//! cargo run --release -p druse-evaluate --example sample_metrics -- samples/structures.jsonl test.csv
//! ```
//!
//! Prints structure validity and the earth mover's distance of the density by GemsDiff's protocol (no two different atoms
//! closer than 0.5 Å, all structures count), and the fraction of cells whose volume is within 10 % of the row they were
//! sampled for, which the property `index` of a sample tells.

use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use druse_data::{Item, ListOptions, Listing, list};
use druse_evaluate::{EvaluateError, GenerationSettings, Sets, Silent, generation};
use druse_metrics::generation::{ProtocolName, Rules};
use serde_json::Value;

/// Fraction of the generated cells whose volume is within 10 % of that of the reference row they belong to.
fn similar_volumes(generated: &Listing, reference: &Listing) -> f64 {
    let volume = |item: &Item| item.structure().map(|s| s.lattice.volume());
    let close = |item: &&Item| {
        let row = item.properties().get("index").and_then(Value::as_f64).map(|x| x as usize);
        let of_row = row.and_then(|i| reference.items.get(i)).and_then(volume);
        volume(item).zip(of_row).is_some_and(|(a, b)| (a / b - 1.0).abs() < 0.1)
    };
    generated.items.iter().filter(close).count() as f64 / generated.len() as f64
}

fn run(samples: &str, reference: &str) -> Result<String, EvaluateError> {
    let (generated, reference) = (
        list(samples.as_ref(), &ListOptions::default())?,
        list(reference.as_ref(), &ListOptions::default())?,
    );
    let sets = Sets { generated: &generated, reference: &reference, train: None };
    let settings = GenerationSettings {
        symprec: None,
        matcher: None,
        ..GenerationSettings::new(sets.resolve(&Rules::of(ProtocolName::Gemsdiff)))
    };
    let evaluation = generation(sets, &settings, &mut Silent, &AtomicBool::new(false))?;
    let value = |key: &str| evaluation.metric(key).and_then(|m| m.value).unwrap_or(f64::NAN);
    Ok(format!(
        "structures            {} sampled, {} reference\n\
         structure validity    {:.2} %\n\
         density EMD           {:.4} g/cm³\n\
         volume within 10 %    {:.2} %\n",
        generated.len(),
        reference.len(),
        100.0 * value("struct_valid"),
        value("wdist_density"),
        100.0 * similar_volumes(&generated, &reference),
    ))
}

#[expect(clippy::print_stdout, reason = "an example reports to the terminal")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [samples, reference] = args.as_slice() else {
        eprintln!("usage: sample_metrics SAMPLES.jsonl REFERENCE.csv");
        return ExitCode::from(2);
    };
    match run(samples, reference) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
