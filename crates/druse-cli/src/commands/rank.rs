//! `druse rank`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use druse_crystal::Composition;
use druse_data::{Dataset, Entry, OutputFormat};
use druse_evaluate::hull::EnergyChoice;
use druse_evaluate::ranking::{RankingSettings, ranked};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::formats::set_format;
use crate::sets::{SourceArgs, format_of, write_set};

/// Arguments of `druse rank`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse sample --model orbit.safetensors --formula LiFeO2 --count 8 --out candidates
  druse relax candidates --out relaxed --fmax 0.1 --steps 100
  druse rank relaxed --out ranked.jsonl
  druse rank relaxed --out best --format cif --keep 1

Candidates for one row of a data set (the property `like`), else those of one reduced composition, are compared by ln p - w E: \
the probability that their model gives them (`log_probability`) and their energy per atom. In the output they stand in order, \
with `rank`, `rank_score` and `energy_above_lowest` (eV/atom); `model_rank` is where their model had put them.")]
pub struct RankArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// File or folder to write; `-` for stdout.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Format [default: by the name of the output].
    #[arg(long, value_parser = set_format())]
    format: Option<OutputFormat>,
    /// Column of the energy [default: relax_energy_per_atom, else the only one of energy_per_atom, formation_energy_per_atom and
    /// energy].
    #[arg(long, value_name = "COLUMN")]
    energy: Option<String>,
    /// What an eV/atom counts against the logarithm of the probability; 0 for the model alone, a million for energies alone.
    #[arg(long, value_name = "W", allow_negative_numbers = true, default_value_t = RankingSettings::default().weight)]
    weight: f64,
    /// Keep so many candidates of each composition [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Replace what is there.
    #[arg(long)]
    overwrite: bool,
}

/// What the command leaves.
#[derive(Serialize, JsonSchema)]
pub struct Ranked {
    /// File or folder of the candidates, in their order.
    out: PathBuf,
    /// Candidates written.
    written: usize,
    /// Compositions, or rows that candidates are for.
    groups: usize,
    /// Groups that another candidate than the model's comes first of.
    changed: usize,
    /// Candidates without a structure or energy, which come last.
    without_energy: usize,
    /// The first of each group.
    best: Vec<First>,
}

/// The first candidate of a group.
#[derive(Serialize, JsonSchema)]
struct First {
    /// Its identifier.
    id: String,
    /// Its reduced formula.
    formula: String,
    /// Its score; the higher, the better.
    score: Option<f64>,
}

/// Runs the command.
pub fn run(args: &RankArgs) -> crate::Outcome {
    if !(args.weight >= 0.0 && args.weight.is_finite()) {
        return Err(Failure::mistake(format!(
            "--weight {}: expected a number that is not negative",
            args.weight
        )));
    }
    let format = match args.format {
        Some(format) => format,
        None => format_of(&args.out)?,
    };
    let listing = args.source.list()?;
    let settings = RankingSettings {
        energy: EnergyChoice { column: args.energy.clone(), ..EnergyChoice::default() },
        weight: args.weight,
        ..RankingSettings::default()
    };
    let ranked = ranked(&listing, &settings)?;
    let keep = args.keep.map_or(usize::MAX, |n| n as usize);
    let (mut entries, mut best) = (Vec::new(), Vec::new());
    let mut changed = 0;
    for candidate in ranked.iter().filter(|c| c.rank <= keep) {
        let item = &listing.items[candidate.row];
        let Some(structure) = item.structure() else { continue };
        if candidate.rank == 1 {
            let formula = Composition::from_species(&structure.species).reduced_formula();
            best.push(First { id: item.id.clone(), formula, score: candidate.score });
        }
        let mut structure = structure.clone();
        // What was put in order before keeps the place that its model gave it.
        let by_model = structure.properties.get("model_rank").cloned();
        let mut put = |name: &str, value: Value| structure.properties.insert(name.to_owned(), value);
        let before = put("rank", candidate.rank.into());
        if let Some(before) = by_model.or(before) {
            changed += usize::from(candidate.rank == 1 && before != 1);
            put("model_rank", before);
        }
        if let Some(score) = candidate.score {
            put("rank_score", score.into());
        }
        if let Some(above) = candidate.above_lowest {
            put("energy_above_lowest", above.into());
        }
        entries.push(Entry { id: item.id.clone(), structure });
    }
    let without = ranked.iter().filter(|c| c.score.is_none()).count();
    if without > 0 {
        console::warn(&format!(
            "{without} of {} rows have no structure or no energy and come last",
            listing.len()
        ));
    }
    if entries.is_empty() {
        return Err(Failure::mistake(format!("no row of {} has a structure", listing.name)));
    }
    let groups = ranked.iter().map(|c| c.group).collect::<BTreeSet<_>>().len();
    let written = entries.len();
    write_set("--out", &Dataset::new(&listing.name, entries), &args.out, format, args.overwrite)?;
    console::note(&format!(
        "{written} candidates for {groups} compositions or rows: {}; another one than the model's comes first for {changed}",
        args.out.display()
    ));
    let out = args.out.clone();
    Ok(Done::with(Ranked { out, written, groups, changed, without_energy: without, best }))
}
