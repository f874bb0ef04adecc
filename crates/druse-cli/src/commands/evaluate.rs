//! `druse evaluate`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use druse_data::crystens::{Consistency, STATED_SPACE_GROUP};
use druse_data::{Cache, Item, Listing, image_consistency};
use druse_evaluate::{
    Baseline, Evaluation, GenerationSettings, MatchingSettings, Observer, Optimization, Pairing, Sets, Task,
    generation, matching, report,
};
use druse_metrics::distribution::Bootstrap;
use druse_metrics::generation::{CutoffChoice, ProtocolName, Rules};
use druse_metrics::optimization::Goal;
use druse_nn::device;
use druse_run::embedding::embedding;
use druse_run::model::LoadedModel;

use super::stability::StabilityArgs;
use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::input;
use crate::models::{lacking, registry, set_threads};
use crate::sets::{
    MatcherArgs, MatcherPreset, StrictArgs, claim_stdout, read, read_energies, refuse_to_replace, write_page,
};

/// Arguments of `druse evaluate`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse evaluate generated/ --reference data/mp_20/test.csv.gz --html report.html
  druse evaluate generated.jsonl --reference test.csv --train train.csv --json metrics.json
  druse evaluate reconstructed.jsonl --reference test.csv --task reconstruction
  druse evaluate candidates.jsonl --reference test.csv --task prediction --group-by prompt --train train.csv
  druse evaluate relaxed.jsonl --reference entries.csv --task stability --train train.csv --submitted 1000

Every metric is printed with its protocol: on what it is measured, with which tolerance, over how many structures. \
docs/evaluate.md explains metrics and protocols. Features are kept in the cache folder, so that a second evaluation \
against the same reference starts at once.")]
pub struct EvaluateArgs {
    /// What is judged: folder of CIF or POSCAR files, extended XYZ, JSON Lines, CSV with a `cif` column; also .gz; `-` for
    /// standard input.
    #[arg(value_parser = input::path())]
    generated: PathBuf,
    /// What it is compared with, in any of these forms.
    #[arg(long, value_name = "SET", value_parser = input::path())]
    reference: PathBuf,
    /// What the model was trained on: adds novelty; with prediction, what substitution from it reaches.
    #[arg(long, value_name = "SET", value_parser = input::path())]
    train: Option<PathBuf>,
    /// What the structures were made for.
    #[arg(long, value_enum, default_value_t = TaskArg::Generation)]
    task: TaskArg,
    #[command(flatten)]
    rules: RuleArgs,
    /// Keep only generated rows whose property passes, such as 'role=gen'. Repeatable.
    #[arg(long = "filter", value_name = "COMPARISON")]
    filters: Vec<String>,
    /// The same for the reference.
    #[arg(long = "reference-filter", value_name = "COMPARISON")]
    reference_filters: Vec<String>,
    /// With reconstruction and prediction: how predictions find their reference.
    #[arg(long, value_enum, default_value_t = PairArg::Auto)]
    pair: PairArg,
    /// With prediction: property that holds the identifier of the reference.
    #[arg(long, value_name = "PROPERTY", conflicts_with = "pair")]
    group_by: Option<String>,
    /// With reconstruction and prediction: what is measured beside the predictions, from the crystals of --train [default:
    /// substitute with prediction and --train].
    #[arg(long, value_enum, requires = "train")]
    baseline: Option<BaselineArg>,
    /// Success rates SR5, SR10, SR15 of this predicted property; needs --start.
    #[arg(long, value_name = "PROPERTY", requires = "start")]
    optimize: Option<String>,
    /// Property that names the starting point of an optimization.
    #[arg(long, value_name = "PROPERTY", requires = "optimize")]
    start: Option<String>,
    /// With --optimize: larger values are better.
    #[arg(long, requires = "optimize")]
    maximize: bool,
    #[command(flatten)]
    stability: StabilityArgs,
    /// Write a report with crystals as one file that a browser shows without network.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// The predictor whose vectors the protocol of adaptive cells compares (its paper's "FD CGCNN").
const DEFAULT_EMBEDDER: &str = "cgcnn";

/// The rules of an evaluation, for `evaluate` and `compare`.
#[derive(Args)]
pub struct RuleArgs {
    /// Whose rules to follow.
    #[arg(long, value_name = "PROTOCOL", value_parser = protocols(), default_value_t = ProtocolName::Cdvae)]
    protocol: ProtocolName,
    /// Cut-offs of the coverage: mp-20, carbon-24, perov-5, or two numbers STRUCTURE,COMPOSITION [default: by the name of
    /// the reference, else mp-20].
    #[arg(long, value_name = "NAME")]
    cutoffs: Option<String>,
    /// Numeric property to compare, too. Repeatable.
    #[arg(long = "property", value_name = "NAME")]
    properties: Vec<String>,
    /// With a generated set: predictor whose activations before the last layer a Fréchet distance is taken of, too: cgcnn (the
    /// published weights for formation energies, which ship), a checkpoint or a run's folder; none for none. Repeatable, one of a
    /// kind [default: cgcnn with --protocol adaptive, else none].
    #[arg(long = "embedder", value_name = "MODEL")]
    embedders: Vec<PathBuf>,
    /// Valid structures to draw where the protocol draws; 0 for all [default: the protocol's].
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Seed of draws and intervals.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Distance tolerance of the space group search in Å.
    #[arg(long, value_name = "Å", default_value_t = 0.1)]
    symprec: f64,
    /// Leave out space groups and templates.
    #[arg(long)]
    no_symmetry: bool,
    /// Leave out uniqueness.
    #[arg(long)]
    no_unique: bool,
    /// Resamples of the 95 % intervals; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    bootstrap: usize,
    #[command(flatten)]
    matcher: MatcherArgs,
    /// Neither read nor write the cache of features.
    #[arg(long)]
    no_cache: bool,
    #[command(flatten)]
    pub strict: StrictArgs,
    /// Worker threads [default: all].
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// Names of the tasks.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TaskArg {
    /// A set against a reference set.
    Generation,
    /// Each structure against the one it was encoded from.
    Reconstruction,
    /// One or more candidates for each structure that was asked for.
    Prediction,
    /// Relaxed structures with energies against the hull of the reference: stable, unique, novel.
    Stability,
}

/// Names of the baselines.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BaselineArg {
    /// Crystals of the training set with other elements, those of the nearest compositions first.
    Substitute,
    /// None.
    None,
}

/// Names of the protocols.
fn protocols() -> impl TypedValueParser<Value = ProtocolName> {
    let values = ProtocolName::ALL.map(|protocol| {
        let value = PossibleValue::new(protocol.name()).help(protocol.about());
        // Its name in earlier versions.
        if protocol == ProtocolName::Strict { value.alias("honest") } else { value }
    });
    PossibleValuesParser::new(values).try_map(|name| name.parse::<ProtocolName>())
}

/// Names of the ways to pair.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PairArg {
    /// By identifier where at least half of the predictions have that of a reference, in order where none has.
    Auto,
    /// The i-th prediction belongs to the i-th reference.
    Order,
    /// A prediction has the identifier of its reference.
    Id,
}

/// Runs the command.
pub fn run(args: &EvaluateArgs) -> crate::Outcome {
    set_threads(args.rules.threads.unwrap_or(0))?;
    args.check()?;
    claim_stdout([("--html", args.html.as_ref())])?;
    refuse_to_replace([&args.generated, &args.reference].into_iter().chain(&args.train), &args.html)?;
    let begun = Instant::now();
    let embedders = args.embedders()?;
    let stop = console::stop_flag_saying("stopping; nothing is written")?;
    let reference = args.read_reference(&args.reference)?;
    let generated = args.read_generated(&args.generated)?;
    let train = args.train.as_deref().map(|path| args.read_train(path)).transpose()?;
    let sets = Sets { generated: &generated, reference: &reference, train: train.as_ref() };
    let evaluation = console::Progress::of(|watch| args.evaluate(sets, &embedders, watch, &stop))?;
    write_page(args.html.as_deref(), || report::html::page_with_crystals(&evaluation, sets))?;
    console::data(&report::table::evaluation(&evaluation))?;
    console::note(&format!("{:.1} s", begun.elapsed().as_secs_f64()));
    Ok(Done::with(evaluation))
}

/// The consistency of the images that a set was read from; `None` where it was read from something else.
fn images_of(set: &Listing) -> Result<Option<Consistency>, Failure> {
    let stated = |item: &Item| item.properties().contains_key(STATED_SPACE_GROUP);
    // Structures in memory may be from such a file, but are no longer its images.
    match !set.path.as_os_str().is_empty() && set.items.iter().any(stated) {
        true => Ok(image_consistency(&set.path)?),
        false => Ok(None),
    }
}

impl EvaluateArgs {
    /// Refuses options that contradict each other, before anything is read.
    pub fn check(&self) -> Result<(), Failure> {
        self.rules.rules()?;
        if self.task == TaskArg::Generation && self.baseline.is_some() {
            return Err(Failure::mistake(
                "a baseline predicts structures, which generated sets are not compared with",
            )
            .hint("add --task prediction, or leave out --baseline"));
        }
        if self.task != TaskArg::Generation && !self.rules.embedders.is_empty() {
            return Err(Failure::mistake("--embedder is for generated sets").hint("leave it out, or --task"));
        }
        if self.task != TaskArg::Stability {
            return match self.stability.given() {
                Some(option) => Err(Failure::mistake(format!("{option} is for --task stability"))),
                None => Ok(()),
            };
        }
        if self.rules.matcher.are_given() || self.rules.protocol != ProtocolName::default() {
            let text = "a definition of stability has its own rules and tolerances";
            return Err(Failure::mistake(text)
                .hint("--definition chooses one; leave out --protocol and the tolerances of the matcher"));
        }
        if !self.reference_filters.is_empty() {
            return Err(Failure::mistake("--reference-filter is not for --task stability").hint(
                "a hull without some of its phases is another hull; write the entries to a file of their own",
            ));
        }
        Ok(())
    }

    /// What generated rows have to pass.
    pub fn filters(&self) -> &[String] {
        &self.filters
    }

    /// What reference rows have to pass.
    pub fn reference_filters(&self) -> &[String] {
        &self.reference_filters
    }

    /// Reads what is judged.
    pub fn read_generated(&self, path: &Path) -> Result<Listing, Failure> {
        read(path, &self.filters, self.rules.strict)
    }

    /// Reads what it is compared with; entries of a hull may be formulas.
    pub fn read_reference(&self, path: &Path) -> Result<Listing, Failure> {
        match self.task {
            TaskArg::Stability => read_energies(path, self.rules.strict),
            _ => read(path, &self.reference_filters, self.rules.strict),
        }
    }

    /// Reads what the model was trained on.
    pub fn read_train(&self, path: &Path) -> Result<Listing, Failure> {
        match self.task {
            TaskArg::Stability => read_energies(path, self.rules.strict),
            _ => read(path, &[], self.rules.strict),
        }
    }

    /// The predictors whose vectors are compared, for a generated set.
    pub fn embedders(&self) -> Result<Vec<LoadedModel>, Failure> {
        if self.task == TaskArg::Generation { self.rules.embedders() } else { Ok(Vec::new()) }
    }

    /// Evaluates sets that were read.
    pub fn evaluate(
        &self,
        sets: Sets<'_>,
        embedders: &[LoadedModel],
        watch: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Evaluation, Failure> {
        let task = match self.task {
            TaskArg::Generation => {
                return self.rules.evaluate(sets, self.optimization(), embedders, watch, stop);
            }
            TaskArg::Stability => {
                let (intervals, strict) = (self.rules.intervals(), self.rules.strict);
                return self.stability.evaluate(sets, intervals, strict, watch, stop);
            }
            TaskArg::Reconstruction => Task::Reconstruction,
            TaskArg::Prediction => Task::Prediction,
        };
        let baseline = self.baseline(task);
        let settings = MatchingSettings { baseline, ..self.rules.matching(sets, task, self.pairing())? };
        Ok(matching(sets, &settings, watch, stop)?)
    }

    fn optimization(&self) -> Option<Optimization> {
        let (property, start) = (self.optimize.clone()?, self.start.clone()?);
        let goal = if self.maximize { Goal::Maximize } else { Goal::Minimize };
        Some(Optimization { property, start, goal })
    }

    fn baseline(&self, task: Task) -> Option<Baseline> {
        match self.baseline {
            Some(BaselineArg::Substitute) => Some(Baseline::Substitute),
            Some(BaselineArg::None) => None,
            None => (task == Task::Prediction && self.train.is_some()).then_some(Baseline::Substitute),
        }
    }

    fn pairing(&self) -> Pairing {
        match (&self.group_by, self.pair) {
            (Some(name), _) => Pairing::Property(name.clone()),
            (None, PairArg::Auto) => Pairing::Auto,
            (None, PairArg::Order) => Pairing::Order,
            (None, PairArg::Id) => Pairing::Id,
        }
    }
}

impl RuleArgs {
    /// The rules that were asked for; refuses values that make no sense, before anything is read.
    pub fn rules(&self) -> Result<Rules, Failure> {
        if !(self.symprec.is_finite() && self.symprec > 0.0) {
            let text = format!("--symprec {}: expected a positive distance", self.symprec);
            return Err(Failure::mistake(text));
        }
        self.matcher.matcher(MatcherPreset::Default)?;
        let cutoffs = self.cutoffs.as_deref().map(str::parse::<CutoffChoice>).transpose();
        let cutoffs = cutoffs.map_err(|e| Failure::mistake(format!("--cutoffs {e}")))?;
        Ok(Rules { protocol: self.protocol, cutoffs, samples: self.samples })
    }

    /// How a generated set is evaluated.
    pub fn generation(
        &self,
        sets: Sets<'_>,
        optimization: Option<Optimization>,
    ) -> Result<GenerationSettings, Failure> {
        let matcher = self.matcher.matcher(MatcherPreset::Default)?;
        Ok(GenerationSettings {
            rules: sets.resolve(&self.rules()?),
            symprec: (!self.no_symmetry).then_some(self.symprec),
            seed: self.seed,
            bootstrap: self.intervals(),
            properties: self.properties.clone(),
            matcher: (!self.no_unique || sets.train.is_some()).then_some(matcher),
            images: images_of(sets.generated)?,
            optimization,
            embeddings: Vec::new(),
            cache: self.cache(),
        })
    }

    /// The predictors whose vectors are compared.
    pub fn embedders(&self) -> Result<Vec<LoadedModel>, Failure> {
        let none = |path: &PathBuf| path.as_os_str() == "none";
        if self.embedders.len() > 1 && self.embedders.iter().any(none) {
            return Err(Failure::mistake("--embedder none is given beside another one"));
        }
        let asked: Vec<&Path> = match self.embedders.as_slice() {
            [] if self.protocol == ProtocolName::Adaptive => vec![Path::new(DEFAULT_EMBEDDER)],
            asked => asked.iter().filter(|path| !none(path)).map(PathBuf::as_path).collect(),
        };
        let mut models: Vec<LoadedModel> = Vec::new();
        for path in asked {
            let model = LoadedModel::named(registry(), path, &device::cpu())?;
            model.predictor().map_err(lacking)?;
            let kind = model.model.trainable().kind();
            if models.iter().any(|other| other.model.trainable().kind() == kind) {
                let text = format!("--embedder {}: there is one of the kind {kind} already", path.display());
                return Err(Failure::mistake(text)
                    .hint("figures of one kind have one name; compare them in two calls"));
            }
            models.push(model);
        }
        Ok(models)
    }

    /// Evaluates a generated set.
    pub fn evaluate(
        &self,
        sets: Sets<'_>,
        optimization: Option<Optimization>,
        embedders: &[LoadedModel],
        watch: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Evaluation, Failure> {
        let mut settings = self.generation(sets, optimization)?;
        for model in embedders {
            settings.embeddings.push(embedding(model, sets, watch, stop)?);
        }
        Ok(generation(sets, &settings, watch, stop)?)
    }

    /// How predictions are evaluated.
    fn matching(&self, sets: Sets<'_>, task: Task, pairing: Pairing) -> Result<MatchingSettings, Failure> {
        Ok(MatchingSettings {
            task,
            protocol: sets.resolve(&self.rules()?).protocol,
            matcher: self.matcher.matcher(MatcherPreset::Cdvae)?,
            pairing,
            symprec: (!self.no_symmetry).then_some(self.symprec),
            baseline: None,
            bootstrap: self.intervals(),
            cache: self.cache(),
        })
    }

    fn intervals(&self) -> Option<Bootstrap> {
        let resamples = self.bootstrap;
        (resamples > 0).then_some(Bootstrap { resamples, level: 0.95, seed: self.seed })
    }

    fn cache(&self) -> Cache {
        if self.no_cache { Cache::Off } else { Cache::Default }
    }
}
