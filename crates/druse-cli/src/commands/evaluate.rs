//! `druse evaluate`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::{Args, ValueEnum};
use druse_data::{Cache, Listing};
use druse_metrics::coverage::{Benchmark, Cutoffs};
use druse_metrics::distribution::Bootstrap;
use druse_metrics::generation::Protocol;
use druse_metrics::matcher::StructureMatcher;
use druse_metrics::optimization::Goal;
use druse_run::evaluate::{
    Evaluation, GenerationSettings, MatchingSettings, Optimization, Pairing, Sets, Task, generation, matching,
};

use super::sets::{Destinations, MatcherArgs, MatcherPreset, read};
use crate::console;
use crate::failure::Failure;
use crate::models::set_threads;
use crate::report;

/// Arguments of `druse evaluate`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse evaluate generated/ --reference data/mp_20/test.csv.gz --html report.html
  druse evaluate generated.jsonl --reference test.csv --train train.csv --json metrics.json
  druse evaluate reconstructed.jsonl --reference test.csv --task reconstruction
  druse evaluate candidates.jsonl --reference test.csv --task prediction --group-by prompt

Every figure is printed with its protocol: on what it is measured, with which tolerance, over how many structures. \
docs/evaluate.md explains figures and protocols. Features are kept in the cache folder, so that a second evaluation \
against the same reference starts at once.")]
pub struct EvaluateArgs {
    /// What is judged: folder of CIF or POSCAR files, extended XYZ, JSON Lines, CSV with a `cif` column; also .gz.
    generated: PathBuf,
    /// What it is compared with, in any of these forms.
    #[arg(long, value_name = "SET")]
    reference: PathBuf,
    /// What the model was trained on: adds novelty.
    #[arg(long, value_name = "SET")]
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
    /// Success rates SR5, SR10, SR15 of this predicted property; needs --start.
    #[arg(long, value_name = "PROPERTY", requires = "start")]
    optimize: Option<String>,
    /// Property that names the starting point of an optimisation.
    #[arg(long, value_name = "PROPERTY", requires = "optimize")]
    start: Option<String>,
    /// With --optimize: larger values are better.
    #[arg(long, requires = "optimize")]
    maximize: bool,
    /// Write everything as JSON, to stdout in place of the table when no file is named.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
    /// Write a report as one file that a browser shows without network.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// The rules of an evaluation, for `evaluate` and `compare`.
#[derive(Args)]
pub struct RuleArgs {
    /// Whose rules to follow.
    #[arg(long, value_enum, default_value_t = ProtocolArg::Cdvae)]
    protocol: ProtocolArg,
    /// Cut-offs of the coverage: mp-20, carbon-24, perov-5, or two numbers STRUCTURE,COMPOSITION [default: by the name of
    /// the reference, else mp-20].
    #[arg(long, value_name = "NAME")]
    cutoffs: Option<String>,
    /// Numeric property to compare, too. Repeatable.
    #[arg(long = "property", value_name = "NAME")]
    properties: Vec<String>,
    /// Valid structures to draw where the protocol draws; 0 for all [default: the protocol's].
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Seed of draws and intervals.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Distance tolerance of the space group search in Å.
    #[arg(long, value_name = "Å", default_value_t = 0.1)]
    symprec: f64,
    /// Leave out space groups.
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
}

/// Names of the protocols.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProtocolArg {
    /// CDVAE's, with which most models of the field were published.
    Cdvae,
    /// SyMat's.
    Symat,
    /// That of diffusion with adaptive cells.
    Adaptive,
    /// GemsDiff's.
    Gemsdiff,
    /// CDVAE's figures by rules without its quirks.
    Honest,
}

/// Names of the ways to pair.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PairArg {
    /// By identifier where every prediction's is that of a reference, else in order.
    Auto,
    /// The i-th prediction belongs to the i-th reference.
    Order,
    /// A prediction has the identifier of its reference.
    Id,
}

/// Runs the command.
pub fn run(args: &EvaluateArgs) -> crate::Outcome {
    set_threads(args.rules.threads.unwrap_or(0))?;
    args.rules.check()?;
    for out in [&args.json, &args.html].into_iter().flatten() {
        if [Some(&args.generated), Some(&args.reference), args.train.as_ref()].contains(&Some(out)) {
            return Err(Failure::mistake(format!("`{}` would be replaced by the result", out.display())));
        }
    }
    let stop = console::stop_flag_saying("stopping; nothing is written")?;
    let begun = Instant::now();
    let reference = read(&args.reference, &args.reference_filters)?;
    let generated = read(&args.generated, &args.filters)?;
    let train = args.train.as_deref().map(|path| read(path, &[])).transpose()?;
    let sets = Sets { generated: &generated, reference: &reference, train: train.as_ref() };
    let evaluation = match args.task {
        TaskArg::Generation => {
            let optimization = args.optimize.as_ref().zip(args.start.as_ref()).map(|(property, start)| {
                let goal = if args.maximize { Goal::Maximize } else { Goal::Minimize };
                (property.clone(), start.clone(), goal)
            });
            args.rules.generation(sets, optimization, &stop)?
        }
        TaskArg::Reconstruction => args.predictions(sets, Task::Reconstruction, &stop)?,
        TaskArg::Prediction => args.predictions(sets, Task::Prediction, &stop)?,
    };
    Destinations { json: args.json.as_deref(), html: args.html.as_deref() }.deliver(
        &evaluation,
        || report::html::page(&evaluation),
        || report::table::evaluation(&evaluation),
    )?;
    console::note(&format!("{:.1} s", begun.elapsed().as_secs_f64()));
    Ok(ExitCode::SUCCESS)
}

/// Match rates by CDVAE's protocol.
pub fn evaluate_predictions(
    sets: Sets<'_>,
    task: Task,
    pairing: Pairing,
    stop: &AtomicBool,
) -> Result<Evaluation, Failure> {
    let benchmark = named_benchmark(sets.reference).unwrap_or(Benchmark::Mp20);
    let settings = MatchingSettings {
        task,
        protocol: Protocol::cdvae(benchmark),
        remarks: Vec::new(),
        matcher: StructureMatcher::CDVAE,
        pairing,
        bootstrap: Some(Bootstrap { resamples: 1000, level: 0.95, seed: 0 }),
        cache: Cache::Default,
    };
    let mut progress = console::Progress::default();
    let evaluation = matching(sets, &settings, &mut progress, stop);
    progress.finish();
    Ok(evaluation?)
}

/// Success rates of an optimisation with the validity that they count, by CDVAE's protocol.
pub fn evaluate_optimization(
    sets: Sets<'_>,
    optimization: Optimization,
    stop: &AtomicBool,
) -> Result<Evaluation, Failure> {
    let benchmark = named_benchmark(sets.reference).unwrap_or(optimization.benchmark);
    let settings = GenerationSettings {
        protocol: Protocol::cdvae(benchmark),
        remarks: Vec::new(),
        symprec: None,
        seed: 0,
        bootstrap: Some(Bootstrap { resamples: 1000, level: 0.95, seed: 0 }),
        properties: Vec::new(),
        matcher: None,
        optimization: Some(Optimization { benchmark, ..optimization }),
        cache: Cache::Default,
    };
    let mut progress = console::Progress::default();
    let evaluation = generation(sets, &settings, &mut progress, stop);
    progress.finish();
    Ok(evaluation?)
}

impl EvaluateArgs {
    fn predictions(&self, sets: Sets<'_>, task: Task, stop: &AtomicBool) -> Result<Evaluation, Failure> {
        let (protocol, _) = self.rules.protocol(sets.reference)?;
        let pairing = match (&self.group_by, self.pair) {
            (Some(name), _) => Pairing::Property(name.clone()),
            (None, PairArg::Auto) => Pairing::Auto,
            (None, PairArg::Order) => Pairing::Order,
            (None, PairArg::Id) => Pairing::Id,
        };
        let settings = MatchingSettings {
            task,
            protocol,
            remarks: Vec::new(),
            matcher: self.rules.matcher.matcher(MatcherPreset::Cdvae)?,
            pairing,
            bootstrap: self.rules.intervals(),
            cache: self.rules.cache(),
        };
        let mut progress = console::Progress::default();
        let evaluation = matching(sets, &settings, &mut progress, stop);
        progress.finish();
        Ok(evaluation?)
    }
}

impl RuleArgs {
    /// Refuses values that make no sense, before anything is read.
    pub fn check(&self) -> Result<(), Failure> {
        if !(self.symprec.is_finite() && self.symprec > 0.0) {
            return Err(Failure::mistake(format!(
                "--symprec {}: expected a positive distance",
                self.symprec
            )));
        }
        if let Some(text) = &self.cutoffs {
            parse_cutoffs(text)?;
        }
        self.matcher.matcher(MatcherPreset::Default).map(|_| ())
    }

    /// Evaluates a generated set.
    pub fn generation(
        &self,
        sets: Sets<'_>,
        optimization: Option<(String, String, Goal)>,
        stop: &AtomicBool,
    ) -> Result<Evaluation, Failure> {
        let (protocol, remarks) = self.protocol(sets.reference)?;
        let benchmark = self.benchmark(sets.reference)?.0;
        let matcher = self.matcher.matcher(MatcherPreset::Default)?;
        let settings = GenerationSettings {
            protocol,
            remarks,
            symprec: (!self.no_symmetry).then_some(self.symprec),
            seed: self.seed,
            bootstrap: self.intervals(),
            properties: self.properties.clone(),
            matcher: (!self.no_unique || sets.train.is_some()).then_some(matcher),
            optimization: optimization.map(|(property, start, goal)| Optimization {
                property,
                start,
                goal,
                benchmark,
            }),
            cache: self.cache(),
        };
        let mut progress = console::Progress::default();
        let evaluation = generation(sets, &settings, &mut progress, stop);
        progress.finish();
        Ok(evaluation?)
    }

    fn intervals(&self) -> Option<Bootstrap> {
        let resamples = self.bootstrap;
        (resamples > 0).then_some(Bootstrap { resamples, level: 0.95, seed: self.seed })
    }

    fn cache(&self) -> Cache {
        if self.no_cache { Cache::Off } else { Cache::Default }
    }

    /// The data set whose cut-offs count, and how that was decided.
    fn benchmark(&self, reference: &Listing) -> Result<(Benchmark, String), Failure> {
        if let Some(Choice::Benchmark(benchmark)) = self.cutoffs.as_deref().map(parse_cutoffs).transpose()? {
            return Ok((benchmark, "as asked for".into()));
        }
        Ok(match named_benchmark(reference) {
            Some(benchmark) => (benchmark, "by the name of the reference".into()),
            None => {
                (Benchmark::Mp20, "the default, as the reference's name tells none; --cutoffs chooses".into())
            }
        })
    }

    /// The rules with all that was asked for, and remarks on where they come from.
    fn protocol(&self, reference: &Listing) -> Result<(Protocol, Vec<String>), Failure> {
        let (benchmark, why) = self.benchmark(reference)?;
        let mut protocol = match self.protocol {
            ProtocolArg::Cdvae => Protocol::cdvae(benchmark),
            ProtocolArg::Symat => Protocol::symat(benchmark),
            ProtocolArg::Adaptive => Protocol::adaptive(),
            ProtocolArg::Gemsdiff => Protocol::gemsdiff(),
            ProtocolArg::Honest => Protocol::honest(benchmark),
        };
        let mut remarks = Vec::new();
        match self.cutoffs.as_deref().map(parse_cutoffs).transpose()? {
            Some(Choice::Cutoffs(cutoffs)) => protocol.cutoffs = Some(cutoffs),
            _ if self.protocol == ProtocolArg::Adaptive => {}
            _ if protocol.cutoffs.is_some() => {
                let name = match benchmark {
                    Benchmark::Mp20 => "mp-20",
                    Benchmark::Carbon24 => "carbon-24",
                    Benchmark::Perov5 => "perov-5",
                };
                remarks.push(format!("cut-offs of {name}: {why}"));
            }
            _ => {}
        }
        if let Some(samples) = self.samples {
            protocol.sample = (samples > 0).then_some(samples);
        }
        Ok((protocol, remarks))
    }
}

/// What `--cutoffs` names.
enum Choice {
    Benchmark(Benchmark),
    Cutoffs(Cutoffs),
}

fn parse_cutoffs(text: &str) -> Result<Choice, Failure> {
    let benchmark = match text.to_ascii_lowercase().replace(['_', '-'], "").as_str() {
        "mp20" => Some(Benchmark::Mp20),
        "carbon24" => Some(Benchmark::Carbon24),
        "perov5" => Some(Benchmark::Perov5),
        _ => None,
    };
    if let Some(benchmark) = benchmark {
        return Ok(Choice::Benchmark(benchmark));
    }
    let numbers: Option<Vec<f64>> =
        text.split(',').map(|x| x.trim().parse().ok().filter(|x: &f64| *x >= 0.0 && x.is_finite())).collect();
    match numbers.as_deref() {
        Some(&[structure, composition]) => Ok(Choice::Cutoffs(Cutoffs { structure, composition })),
        _ => Err(Failure::mistake(format!(
            "--cutoffs `{text}`: expected mp-20, carbon-24, perov-5, or two numbers such as 0.4,10"
        ))),
    }
}

/// The benchmark that the name or the folder of a set tells.
fn named_benchmark(listing: &Listing) -> Option<Benchmark> {
    let text =
        format!("{}/{}", listing.path.display(), listing.name).to_ascii_lowercase().replace(['_', '-'], "");
    [("mp20", Benchmark::Mp20), ("carbon24", Benchmark::Carbon24), ("perov5", Benchmark::Perov5)]
        .into_iter()
        .find(|(name, _)| text.contains(name))
        .map(|(_, benchmark)| benchmark)
}
