//! The commands as functions: options as on the command line, sets and results in memory.
//!
//! Options are read by the same parsers, and errors have the same words, as those of the program. Nothing is printed:
//! [`remarks_of`] gives what the program would have said, a [`Watch`] follows the work, a flag stops it. Positional arguments
//! that name a set, and folders that are not written to, may be given any name.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use druse_crystal::Structure;
use druse_data::{DataError, Dataset, Filter, Listing};
use druse_evaluate::Evaluation;
use druse_evaluate::featurize::featurize as features_of;
use druse_evaluate::hull::PhaseRow;
use druse_evaluate::pairs::{PairVerdict, compare};
use druse_nn::device;
use druse_run::latent;
use druse_run::model::LoadedModel;
use druse_run::output::{FAILURES_FILE, STRUCTURES_FILE, parse_lines};
use druse_run::potentials::{self, LoadedPotential};
use druse_run::predict::{Predictions, predict as predictions_of};
use druse_run::relax::{MemoryRows, RelaxSummary, relax as relax_rows};
use druse_run::sample::Summary;
use druse_run::screen::{ScreenInputs, Screened, screen as screen_rows};
use druse_run::train::{Outcome, train_with};
use druse_run::{Event, RunFolder};
use serde_json::Value;

use crate::commands::{
    evaluate as evaluate_command, featurize as featurize_command, hull as hull_command, match_structures,
    predict as predict_command, reconstruct as reconstruct_command, relax as relax_command,
    sample as sample_command, screen as screen_command, train as train_command,
};
use crate::console;
use crate::failure::Failure;
use crate::models::{lacking, load, registry};
use crate::options::parse;
use crate::sets::{SourceArgs, StrictArgs, read, read_energies};
use crate::{rows, sampling};

pub use crate::console::{Remark, remarks_of};

/// Follows the work of all drivers.
pub trait Watch: druse_run::Observer + druse_evaluate::Observer + Send {}

impl<W: druse_run::Observer + druse_evaluate::Observer + Send> Watch for W {}

/// A set of structures.
#[derive(Debug, Clone)]
pub enum Set {
    /// A file or folder.
    Path(PathBuf),
    /// Rows in memory.
    Rows(Listing),
}

impl Set {
    /// The rows; those in memory pass the filters as those of a file do.
    fn rows(
        self,
        filters: &[String],
        read: impl FnOnce(&Path) -> Result<Listing, Failure>,
    ) -> Result<Listing, Failure> {
        let listing = match self {
            Self::Path(path) => return read(&path),
            Self::Rows(listing) => listing,
        };
        if listing.is_empty() {
            return Err(
                Failure::mistake("the list of structures is empty").hint("give at least one structure")
            );
        }
        let filters: Vec<Filter> =
            filters.iter().map(|text| text.parse().map_err(DataError::Filter)).collect::<Result<_, _>>()?;
        let total = listing.len();
        let (name, items) = (listing.name.clone(), listing.items);
        let mut kept = Listing { items: Vec::new(), ..listing };
        kept.extend(items, &filters);
        if kept.is_empty() {
            let filters = filters.iter().map(|f| format!("`{f}`")).collect::<Vec<_>>().join(", ");
            return Err(DataError::NothingLeft { name, total, filters }.into());
        }
        kept.source_hash = kept.structures_hash();
        Ok(kept)
    }

    /// The rows of the set that is a command's input.
    fn source(self, source: &SourceArgs) -> Result<Listing, Failure> {
        self.rows(source.filters(), |_| source.list())
    }
}

/// Says how many structures there will be.
fn announce(watch: &mut impl Watch, total: usize) {
    druse_run::Observer::observe(watch, Event::Progress { stage: "structures", done: 0, total });
}

/// Reads a set, every row of it.
///
/// # Errors
/// [`Failure`] as `druse evaluate` has it.
pub fn structures(path: &Path, filters: &[String], strict: bool) -> Result<Listing, Failure> {
    read(path, filters, StrictArgs { strict })
}

/// `druse sample`: what came of each request. `to_folder` says whether the folder of `--out` is written. A model that is
/// given is the one that samples, as it is.
///
/// # Errors
/// [`Failure`] as the command has it.
pub fn sample(
    options: &[String],
    model: Option<&LoadedModel>,
    to_folder: bool,
    watch: &mut impl Watch,
    stop: &AtomicBool,
) -> Result<(Listing, Summary), Failure> {
    let args: sample_command::SampleArgs = parse("sample", options)?;
    if args.rank == sample_command::RankBy::Potential {
        return Err(Failure::mistake("the order by a potential is made of the files of `druse sample`")
            .hint("relax the structures, or call the program"));
    }
    let loaded;
    let model = match model {
        Some(model) => model,
        None => {
            loaded = sample_command::configured(&args, load(args.model.as_deref(), &args.compute)?)?;
            &loaded
        }
    };
    let (targets, count) = sample_command::requested(&args, model)?;
    announce(watch, count as usize);
    sampling::collect(&args.sampling, model, targets, count, to_folder, watch, stop)
}

/// `druse train`. Other ranks on this machine are child processes that run `program`, which is the hidden command
/// [`CHILD_COMMAND`](crate::CHILD_COMMAND) of this one.
///
/// # Errors
/// [`Failure`] as the command has it.
pub fn train(
    options: &[String],
    program: &[OsString],
    watch: &mut impl Watch,
    stop: &AtomicBool,
) -> Result<Outcome, Failure> {
    let args: train_command::TrainArgs = parse("train", options)?;
    let ranks = args.ranks.resolved()?;
    if let Some(rank) = ranks.other_rank() {
        return Err(Failure::mistake(format!("rank {rank} has nothing to return"))
            .hint("start it by the command `druse train`"));
    }
    let config = args.config()?;
    let (ranks, device) = ranks.on_devices(&config)?;
    let device = device::parse(&device)?;
    let mut model = config.build(registry())?;
    let model = model.trainable_mut();
    ranks.check(model)?;
    args.refuse_other_runs()?;
    let folder = RunFolder::open(&args.out)?;
    let others = ranks.gather(&config, program, stop, &mut console::warn)?;
    let data = config.data.load().map_err(|e| others.told(e))?;
    for skipped in &data.skipped {
        let (id, text) = (skipped.id.as_deref().unwrap_or_default(), skipped.to_string());
        druse_run::Observer::observe(watch, Event::Warning { id, text: &text });
    }
    others.compare_data(&data, stop)?;
    let (resume, reduce) = (args.resume, others.reduce());
    let trained = train_with(model, &config, &data, &folder, resume, &device, reduce, watch, stop);
    others.end(&trained);
    Ok(trained?)
}

/// `druse evaluate`.
///
/// # Errors
/// [`Failure`] as the command has it.
pub fn evaluate(
    options: &[String],
    generated: Set,
    reference: Set,
    train: Option<Set>,
    watch: &mut impl Watch,
    stop: &AtomicBool,
) -> Result<Evaluation, Failure> {
    let args: evaluate_command::EvaluateArgs = parse("evaluate", options)?;
    args.check()?;
    let embedders = args.embedders()?;
    let reference = reference.rows(args.reference_filters(), |path| args.read_reference(path))?;
    let generated = generated.rows(args.filters(), |path| args.read_generated(path))?;
    let train = train.map(|set| set.rows(&[], |path| args.read_train(path))).transpose()?;
    let sets = druse_evaluate::Sets { generated: &generated, reference: &reference, train: train.as_ref() };
    args.evaluate(sets, &embedders, watch, stop)
}

/// `druse match`, of two structures.
///
/// # Errors
/// [`Failure`] as the command has it; structures that cannot be compared are one.
pub fn match_structures(options: &[String], a: &Structure, b: &Structure) -> Result<PairVerdict, Failure> {
    let args: match_structures::MatchArgs = parse("match", options)?;
    let verdict = compare(&args.rules()?, Value::Null, a, b);
    match verdict.error {
        Some(error) => Err(Failure::mistake(error)),
        None => Ok(verdict),
    }
}

/// `druse featurize`: an object a row.
///
/// # Errors
/// [`Failure`] as the command has it.
pub fn featurize(
    options: &[String],
    set: Set,
    watch: &mut impl Watch,
    stop: &AtomicBool,
) -> Result<Vec<Value>, Failure> {
    let args: featurize_command::FeaturizeArgs = parse("featurize", options)?;
    let listing = set.source(&args.source)?;
    Ok(features_of(&listing, &args.features, args.niggli, watch, stop)?)
}

/// `druse reconstruct`: the reconstructions, and how they compare unless `--no-evaluation` is given or it was stopped. The
/// structures are those of a file or folder.
///
/// # Errors
/// [`Failure`] as the command has it.
pub fn reconstruct(
    options: &[String],
    model: &LoadedModel,
    data: &Path,
    to_folder: bool,
    watch: &mut impl Watch,
    stop: &AtomicBool,
) -> Result<(Listing, Summary, Option<Evaluation>), Failure> {
    let args: reconstruct_command::ReconstructArgs = parse("reconstruct", options)?;
    let space = model.autoencoder().map_err(lacking)?;
    let mut dataset = reconstruct_command::read_data(data, model)?;
    if let Some(count) = args.count {
        dataset.entries.truncate(count);
    }
    let structures: Vec<(&str, &Structure)> =
        dataset.entries.iter().map(|e| (e.id.as_str(), &e.structure)).collect();
    let targets = latent::reconstruct(space, &model.params, &structures, &args.how())?;
    let count = targets.len() as u64;
    announce(watch, targets.len());
    let (generated, summary) =
        sampling::collect(&args.sampling, model, targets, count, to_folder, watch, stop)?;
    if summary.interrupted || args.no_evaluation {
        return Ok((generated, summary, None));
    }
    let mut reference = read(data, &[], StrictArgs { strict: false })?;
    if args.count.is_some() {
        let chosen: HashSet<&str> = dataset.entries.iter().map(|e| e.id.as_str()).collect();
        reference.items.retain(|item| chosen.contains(item.id.as_str()));
    }
    let evaluation = args.evaluate(&generated, &reference, watch, stop)?;
    Ok((generated, summary, Some(evaluation)))
}

/// A potential by its name or file, as `--potential` takes it.
///
/// # Errors
/// [`Failure`] when there is none.
pub fn potential(name: &str) -> Result<LoadedPotential, Failure> {
    potentials::load(name).map_err(Failure::mistake)
}

/// `druse relax`: what became of each row. `out` is the folder, where one is written.
///
/// # Errors
/// [`Failure`] as the command has it.
pub fn relax(
    options: &[String],
    set: Set,
    given: Option<&LoadedPotential>,
    out: Option<&Path>,
    watch: &mut impl Watch,
    stop: &AtomicBool,
) -> Result<(Listing, RelaxSummary), Failure> {
    let args: relax_command::RelaxArgs = parse("relax", options)?;
    let settings = args.settings()?;
    let loaded;
    let potential_ = match given {
        Some(potential) => potential,
        None => {
            loaded = potential(&args.potential)?;
            &loaded
        }
    };
    let listing = set.source(&args.source)?;
    let plan = args.plan(settings, potential_.identity.clone());
    announce(watch, listing.len());
    let (path, records, failures, summary) = match out {
        Some(path) => {
            let folder = RunFolder::open(path)?;
            let mut sink = args.rows(&folder);
            let summary = relax_rows(&listing, &*potential_.potential, &plan, &mut sink, watch, stop)?;
            let records = parse_lines(&folder.join(STRUCTURES_FILE))?;
            (path, records, parse_lines(&folder.join(FAILURES_FILE))?, summary)
        }
        None => {
            let mut sink = MemoryRows::default();
            let summary = relax_rows(&listing, &*potential_.potential, &plan, &mut sink, watch, stop)?;
            let (mut records, mut failures) = (Vec::new(), Vec::new());
            for row in &sink.rows {
                match row.line() {
                    Ok(record) => records.push(*record),
                    Err(failure) => failures.push(failure),
                }
            }
            (Path::new(""), records, failures, summary)
        }
    };
    Ok((rows::listing("relaxed", path, records, failures), summary))
}

/// `druse hull`: the object that `--json` writes, and every entry against the hull.
///
/// # Errors
/// [`Failure`] as the command has it.
pub fn hull(
    options: &[String],
    entries: Vec<Set>,
    query: Option<Set>,
) -> Result<(Value, Vec<PhaseRow>), Failure> {
    let args: hull_command::HullArgs = parse("hull", options)?;
    let energies = |set: Set| set.rows(&[], |path| read_energies(path, args.strict()));
    let sets: Vec<Listing> = entries.into_iter().map(energies).collect::<Result<_, _>>()?;
    let query = query.map(energies).transpose()?;
    let found = args.find(&sets.iter().collect::<Vec<_>>(), query.as_ref())?;
    Ok((found.json()?, found.entries()))
}

/// `druse screen`.
///
/// # Errors
/// [`Failure`] as the command has it.
pub fn screen(
    options: &[String],
    candidates: Set,
    reference: Set,
    train: Option<Set>,
    watch: &mut impl Watch,
    stop: &AtomicBool,
) -> Result<Screened, Failure> {
    let args: screen_command::ScreenArgs = parse("screen", options)?;
    let potential = potential(&args.potential)?;
    let settings = args.settings(&potential.identity)?;
    let candidates = candidates.source(&args.source)?;
    let energies = |set: Set| set.rows(&[], |path| read_energies(path, args.source.strict()));
    let reference = energies(reference)?;
    let train = train.map(energies).transpose()?;
    let folder = RunFolder::open(&args.out)?;
    let energies = args.energies();
    let inputs = ScreenInputs {
        candidates: &candidates,
        reference: &reference,
        train: train.as_ref(),
        potential: &potential,
        flight: args.flight(),
        shard: args.shard,
        energies: energies.as_deref(),
    };
    Ok(screen_rows(inputs, &settings, &folder, args.resume, watch, stop)?)
}

/// `druse predict`.
///
/// # Errors
/// [`Failure`] as the command has it.
pub fn predict(options: &[String], model: &LoadedModel, data: Set) -> Result<Predictions, Failure> {
    let args: predict_command::PredictArgs = parse("predict", options)?;
    let predictor = model.predictor().map_err(lacking)?;
    let set: Dataset = match data {
        Set::Path(_) => predict_command::read(&args)?,
        rows @ Set::Rows(_) => rows.rows(&[], |_| Ok(Listing::default()))?.into(),
    };
    Ok(predictions_of(predictor, &model.params, &set)?)
}
