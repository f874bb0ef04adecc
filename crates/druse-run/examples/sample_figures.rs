//! Figures of a set of sampled structures against the data set whose compositions they were sampled for:
//!
//! ```text
//! druse sample --like test.csv --format jsonl --out samples
//! cargo run --release --example sample_figures -- samples/structures.jsonl test.csv
//! ```
//!
//! Structure validity (no two different atoms closer than 0.5 Å, volume at least 0.1 Å³), earth mover's distance
//! between the densities (g/cm³), and the share of cells whose volume is within 10 % of the row they belong to (structure
//! i of the samples belongs to row i of the data set).

use std::process::ExitCode;

use druse_crystal::Structure;
use druse_data::{Cache, Dataset, LoadOptions, load};

fn read(path: &str) -> Result<Dataset, druse_data::DataError> {
    load(path.as_ref(), &LoadOptions { niggli: false, cache: Cache::Off, ..LoadOptions::default() })
}

fn valid(s: &Structure) -> bool {
    s.lattice.volume() >= 0.1 && s.min_distance().is_none_or(|d| d >= 0.5)
}

/// Area between the two quantile functions.
fn earth_movers_distance(mut a: Vec<f64>, mut b: Vec<f64>) -> f64 {
    a.sort_by(f64::total_cmp);
    b.sort_by(f64::total_cmp);
    let (mut i, mut j, mut level, mut area) = (0, 0, 0.0, 0.0);
    while i < a.len() && j < b.len() {
        let (end_a, end_b) = ((i + 1) as f64 / a.len() as f64, (j + 1) as f64 / b.len() as f64);
        let end = end_a.min(end_b);
        area += (end - level) * (a[i] - b[j]).abs();
        level = end;
        i += usize::from(end_a <= end_b);
        j += usize::from(end_b <= end_a);
    }
    area
}

fn index(structure: &Structure) -> Option<usize> {
    structure.properties.get("index")?.as_u64()?.try_into().ok()
}

#[allow(clippy::print_stdout, reason = "an example reports to the terminal")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [samples, reference] = args.as_slice() else {
        eprintln!("usage: sample_figures SAMPLES.jsonl REFERENCE.csv");
        return ExitCode::from(2);
    };
    let (samples, reference) = match (read(samples), read(reference)) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(e), _) | (_, Err(e)) => {
            eprintln!("error: {e}");
            return ExitCode::FAILURE;
        }
    };
    let n = samples.entries.len();
    let share = |count: usize| 100.0 * count as f64 / n as f64;
    let densities = |d: &Dataset| d.entries.iter().map(|e| e.structure.density()).collect::<Vec<_>>();
    let close = samples.entries.iter().filter(|e| {
        let row = index(&e.structure).and_then(|i| reference.entries.get(i));
        row.is_some_and(|r| (e.structure.lattice.volume() / r.structure.lattice.volume() - 1.0).abs() < 0.1)
    });
    let valid = samples.entries.iter().filter(|e| valid(&e.structure)).count();
    println!("structures                {n} sampled, {} reference", reference.entries.len());
    println!("structure validity        {:.2} %", share(valid));
    println!(
        "density EMD               {:.4} g/cm³",
        earth_movers_distance(densities(&samples), densities(&reference))
    );
    println!("volume within 10 %        {:.2} %", share(close.count()));
    ExitCode::SUCCESS
}
