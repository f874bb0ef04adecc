//! `druse hull`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use druse_crystal::Element;
use druse_data::Listing;
use druse_evaluate::EvaluateError;
use druse_evaluate::hull::{
    Check, Contradictions, EnergyAmount, EnergyChoice, EnergyColumn, Hull, HullEntries, HullInputError,
    HullSummary, OPTIMISTIC, PhaseRow, SystemSummary, write_csv, write_jsonl,
};
use druse_evaluate::report::hull as tables;
use druse_metrics::phase_diagram::ChemicalSystem;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::input;
use crate::models::set_threads;
use crate::sets::{StrictArgs, claim_stdout, read_energies, refuse_to_replace, write_result};

/// Arguments of `druse hull`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse hull data/mp_20 data/mpts_52
  druse hull data/mp_20 --system Li-Fe-O
  druse hull data/mp_20 --query relaxed.jsonl --query-energy formation_energy_per_atom --out above.csv
  druse hull entries.csv --energy energy_per_atom --check e_above_hull

Entries are structures or formulas with an energy: a data set, a folder of its splits, or a table with the columns `formula` \
(or `composition`) and an energy in eV. Energies named formation_… count from the elements, others need an entry of each element. \
A hull of a data set lacks the phases that are not in it: what is unstable against it is unstable, what is stable is stable at best. \
docs/stability.md has the definitions, and figures measured.")]
pub struct HullArgs {
    /// Sets of entries; their rows make one hull.
    #[arg(required = true, value_name = "ENTRIES", value_parser = input::path())]
    entries: Vec<PathBuf>,
    #[command(flatten)]
    energy: EnergyArgs,
    /// Print the phase diagram of these elements, such as Li-Fe-O.
    #[arg(long, value_name = "ELEMENTS")]
    system: Option<ChemicalSystem>,
    /// Structures or formulas to be placed against the hull.
    #[arg(long, value_name = "SET", value_parser = input::path())]
    query: Option<PathBuf>,
    /// Column of their energy [default: that of the entries].
    #[arg(long, value_name = "COLUMN", requires = "query")]
    query_energy: Option<String>,
    /// Method of their energies [default: what the property `energy_scale` or `potential` of the rows says].
    #[arg(long, value_name = "NAME", requires = "query")]
    query_scale: Option<String>,
    /// Compare energies on different scales all the same.
    #[arg(long)]
    force_scale: bool,
    /// Compare with this column of energies above hull (eV/atom). Repeatable: a row counts with the first that it has.
    #[arg(long, value_name = "COLUMN")]
    check: Vec<String>,
    /// File of the phases placed, those of --query, else of --system, else all entries: CSV, or JSON Lines where it is so named.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    strict: StrictArgs,
    /// Worker threads [default: all].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// How the energies of entries are read.
#[derive(Args)]
pub struct EnergyArgs {
    /// Column of the energy [default: the only one of energy_per_atom, formation_energy_per_atom and energy].
    #[arg(long, value_name = "COLUMN")]
    energy: Option<String>,
    /// Of what the energies are [default: of an atom where the name says per_atom, else of the cell or formula as given].
    #[arg(long, value_enum)]
    energy_of: Option<AmountArg>,
    /// Method of the energies [default: what the property `energy_scale` or `potential` of the rows says].
    #[arg(long, value_name = "NAME")]
    energy_scale: Option<String>,
    /// What to do about entries of one identifier with different energies or compositions.
    #[arg(long, value_enum, default_value_t = ContradictionArg::Refuse)]
    contradictions: ContradictionArg,
}

/// Of what energies are.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AmountArg {
    /// An atom.
    Atom,
    /// The cell, or the formula as it is written.
    Cell,
}

/// What to do about contradictions.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ContradictionArg {
    /// Refuse them.
    Refuse,
    /// Take the first row.
    First,
    /// Take the row of the lowest energy.
    Lowest,
}

impl EnergyArgs {
    /// How energies are read.
    pub fn choice(&self) -> EnergyChoice {
        let amount = self.energy_of.map(|amount| match amount {
            AmountArg::Atom => EnergyAmount::PerAtom,
            AmountArg::Cell => EnergyAmount::Cell,
        });
        EnergyChoice { column: self.energy.clone(), amount, method: self.energy_scale.clone() }
    }

    /// Reads entries and says what takes no part.
    pub fn entries(&self, listings: &[&Listing]) -> Result<(HullEntries, EnergyColumn), Failure> {
        let column = EnergyColumn::of(listings, &self.choice())?;
        let contradictions = match self.contradictions {
            ContradictionArg::Refuse => Contradictions::Refuse,
            ContradictionArg::First => Contradictions::First,
            ContradictionArg::Lowest => Contradictions::Lowest,
        };
        let entries = HullEntries::of(listings, &column, contradictions)?;
        for row in &entries.left_out {
            console::warn(&format!("left out {row}"));
        }
        if entries.contradictions > 0 {
            console::note(&format!(
                "rows that contradict an entry of their identifier and do not count: {}",
                entries.contradictions
            ));
        }
        Ok((entries, column))
    }
}

impl From<HullInputError> for Failure {
    fn from(e: HullInputError) -> Self {
        let hint = match &e {
            HullInputError::SeveralEnergies { .. } | HullInputError::NoEnergy { .. } => {
                Some("--energy names the column of the entries, --query-energy that of the queries")
            }
            HullInputError::Contradiction { .. } => {
                Some("--contradictions first or lowest chooses; polymorphs need identifiers of their own")
            }
            HullInputError::Scales { .. } => Some(
                "entries and queries need energies of one method; --energy-scale and --query-scale name it, --force-scale compares all the same",
            ),
            HullInputError::SeveralScales { .. } => Some("choose the rows of one method"),
            HullInputError::Hull(_) => Some("add an entry of the element, on the scale of the others"),
            _ => None,
        };
        let failure = Self::from(EvaluateError::from(e));
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// What a hull says.
pub struct Found {
    hull: Hull,
    column: EnergyColumn,
    queried: Option<(Vec<PhaseRow>, EnergyColumn)>,
    of_system: Option<SystemSummary>,
    check: Option<Check>,
}

/// What the command leaves.
#[derive(Serialize, JsonSchema)]
pub struct HullFound {
    /// Numbers of the hull.
    hull: HullSummary,
    /// How energies of the entries were read.
    energy: EnergyColumn,
    /// The phase diagram of `--system`.
    system: Option<SystemSummary>,
    /// The phases of `--query` against the hull.
    query: Option<Vec<PhaseRow>>,
    /// The hull against the columns of `--check`.
    check: Option<Check>,
    /// What a reader should know.
    remarks: Vec<String>,
}

impl Found {
    /// All of it, for programs.
    fn result(&self) -> HullFound {
        HullFound {
            hull: self.hull.summary(),
            energy: self.column.clone(),
            system: self.of_system.clone(),
            query: self.queried.as_ref().map(|(rows, _)| rows.clone()),
            check: self.check.clone(),
            remarks: vec![OPTIMISTIC.to_owned()],
        }
    }

    /// The same as an object.
    pub fn json(&self) -> Result<Value, Failure> {
        serde_json::to_value(self.result()).map_err(Failure::environment)
    }

    /// Every entry against the hull.
    pub fn entries(&self) -> Vec<PhaseRow> {
        self.hull.all_entries()
    }
}

impl HullArgs {
    /// Whether doubtful structures are refused.
    pub fn strict(&self) -> StrictArgs {
        self.strict
    }

    /// The hull of sets of entries, with queries, system and checks.
    pub fn find(&self, listings: &[&Listing], query: Option<&Listing>) -> Result<Found, Failure> {
        let (entries, column) = self.energy.entries(listings)?;
        let asked = query.into_iter().flat_map(|l| &l.items).filter_map(|i| i.composition());
        let asked: Vec<Element> = asked.flat_map(|c| c.elements().collect::<Vec<_>>()).collect();
        let system = self.system.into_iter().flat_map(ChemicalSystem::elements);
        let hull = Hull::new(entries, asked.into_iter().chain(system))?;
        let queried = query.map(|listing| query_rows(self, &hull, &column, listing)).transpose()?;
        let of_system = self.system.map(|system| hull.system(system)).transpose()?;
        let check = match self.check.is_empty() {
            true => None,
            false => Some(hull.check(listings, &self.check)?),
        };
        Ok(Found { hull, column, queried, of_system, check })
    }
}

/// Runs the command.
pub fn run(args: &HullArgs) -> crate::Outcome {
    set_threads(args.threads.unwrap_or(0))?;
    claim_stdout([("--out", args.out.as_ref())])?;
    refuse_to_replace(args.entries.iter().chain(&args.query), &args.out)?;
    let sets: Vec<Listing> =
        args.entries.iter().map(|path| read_energies(path, args.strict)).collect::<Result<_, _>>()?;
    let query = args.query.as_deref().map(|path| read_energies(path, args.strict)).transpose()?;
    let found = args.find(&sets.iter().collect::<Vec<_>>(), query.as_ref())?;
    let Found { hull, column, queried, of_system, check } = &found;
    let summary = (queried.is_none() && of_system.is_none()).then(|| hull.summary());

    if let Some(path) = &args.out {
        let rows = match (queried, of_system) {
            (Some((rows, _)), _) => rows.clone(),
            (None, Some(s)) => s.stable.iter().chain(&s.unstable).cloned().collect(),
            (None, None) => hull.all_entries(),
        };
        write_rows(path, &rows, queried.as_ref().map_or(column, |(_, column)| column))?;
    }
    let mut text: Vec<String> = Vec::new();
    text.extend(summary.as_ref().map(tables::summary));
    text.extend(of_system.as_ref().map(tables::system));
    if let (Some((rows, _)), None) = (queried, &args.out) {
        text.push(tables::rows(rows, false));
    }
    text.extend(check.as_ref().map(tables::check));
    text.push(format!("note: {OPTIMISTIC}\n"));
    console::data(&text.join("\n"))?;
    if let Some((rows, _)) = queried {
        let failed = rows.iter().filter(|row| row.error.is_some()).count();
        if failed > 0 {
            console::warn(&format!("{failed} of {} phases have an `error`", rows.len()));
        }
    }
    Ok(Done::with(found.result()))
}

/// The queries against the hull, with the column that their energies are from.
fn query_rows(
    args: &HullArgs,
    hull: &Hull,
    column: &EnergyColumn,
    listing: &Listing,
) -> Result<(Vec<PhaseRow>, EnergyColumn), Failure> {
    let (name, amount) = match &args.query_energy {
        Some(name) => (name.clone(), None),
        None => (column.name.clone(), Some(column.amount)),
    };
    let choice = EnergyChoice { column: Some(name), amount, method: args.query_scale.clone() };
    let own = EnergyColumn::of(&[listing], &choice)?;
    let rows = hull.query(listing, &own, args.force_scale)?;
    if args.force_scale && own.scale != hull.scale {
        console::warn(&format!(
            "{} are compared with {}: the differences are no energies above hull of one method",
            own.scale, hull.scale
        ));
    }
    Ok((rows, own))
}

fn write_rows(path: &Path, rows: &[PhaseRow], column: &EnergyColumn) -> Result<(), Failure> {
    let lines = path.extension().is_some_and(|e| e == "jsonl" || e == "ndjson");
    write_result(
        "--out",
        path,
        |out| if lines { write_jsonl(rows, out) } else { write_csv(rows, column, out) },
    )
}
