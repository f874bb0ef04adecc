//! `druse bench`.

mod process;
mod report;
mod sections;
mod subject;
mod timing;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use druse_nn::roofline::MachineLimits;
use druse_run::overlay::Layers;
use serde::Serialize;

use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::models::{ComputeArgs, registry, set_threads};
pub use report::Report;
use subject::Subject;
use timing::Meter;

/// Arguments of `druse bench`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse bench
  druse bench train sample --preset gemsdiff-paper --data data/mp_20 --batch-size 128
  druse bench graph evaluate --data data/mp_20 --threads-scaling --json

Sections:
  train     a step: loss, gradient, clipping, Adam, moving average
  sample    a step of sampling, all structures of the batch in flight
  forward   the networks and the loss, without gradient, graphs ready
  graph     neighbor search and multigraph of each structure
  evaluate  CrystalNN fingerprints; the structure matcher on pairs of a structure and a distorted copy

Weights are freshly initialized. On the CPU also what the machine can do at most is measured (matrix products of the
shape of an edge layer; memory traffic), and for each section that runs the networks the share of the former that it
reaches. A batch of one structure gives the latency. On Linux each section has its own peak of resident memory, with
what the sections before left in the allocator's reserve.")]
pub struct BenchArgs {
    /// What to measure [default: everything].
    #[arg(value_enum)]
    sections: Vec<Section>,
    /// Preset [default: gemsdiff-small].
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Single values of the configuration. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Data set to take the batch from [default: perovskites of five atoms].
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Structures in the batch [default: the preset's, at most 128].
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Seconds to measure each section.
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    seconds: f64,
    /// Measure each section on one thread too.
    #[arg(long)]
    threads_scaling: bool,
    #[command(flatten)]
    compute: ComputeArgs,
}

/// What can be measured, in the order of measurement: those that take little memory come first, because the allocator
/// keeps what a section has freed and the next one's peak contains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// Graphs.
    Graph,
    /// Fingerprints and matcher.
    Evaluate,
    /// A sampling step.
    Sample,
    /// The networks forwards.
    Forward,
    /// A training step.
    Train,
}

impl Section {
    /// The name on the command line and in JSON.
    fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Sample => "sample",
            Self::Forward => "forward",
            Self::Graph => "graph",
            Self::Evaluate => "evaluate",
        }
    }
}

/// Runs the command.
pub fn run(args: &BenchArgs) -> crate::Outcome {
    let layers =
        Layers { preset: args.preset.as_deref(), settings: &args.settings, ..Layers::new(registry()) };
    let mut config = layers.resolve()?;
    config.validate_for(registry())?;
    if let Some(path) = &args.data {
        config.data.path.clone_from(path);
    }
    if !(args.seconds.is_finite() && args.seconds >= 0.0) {
        return Err(Failure::mistake(format!("--seconds {}: expected a number from 0", args.seconds)));
    }
    set_threads(args.compute.threads.unwrap_or(0))?;
    let size = args.batch_size.unwrap_or(config.train.batch_size.min(128));
    let subject = Subject::new(config, size, &args.compute)?;
    let meter = Meter { seconds: args.seconds, one_thread: args.threads_scaling };
    let mut chosen = args.sections.clone();
    if chosen.is_empty() {
        chosen = Section::value_variants().to_vec();
    }
    chosen.sort_unstable();
    chosen.dedup();
    let mut report = Report {
        preset: subject.config.preset.clone(),
        device: args.compute.device.clone(),
        precision: subject.params.precision(),
        products: subject.on_host().then(|| subject.params.precision().products()),
        threads: rayon::current_num_threads(),
        parameters: subject.params.count(),
        structures: subject.structures.len(),
        atoms: subject.atoms(),
        limits: None,
        sections: Vec::new(),
    };
    for section in chosen {
        console::note(&format!("measuring {}", section.name()));
        let result = match section {
            Section::Train => sections::train(&subject, &meter)?,
            Section::Sample => sections::sample(&subject, &meter)?,
            Section::Forward => sections::forward(&subject, &meter)?,
            Section::Graph => sections::graph(&subject, &meter)?,
            Section::Evaluate => sections::evaluate(&subject, &meter)?,
        };
        report.sections.push((section, result));
    }
    if subject.on_host() {
        // At the end, because it takes memory; the best of a few, because others may use the machine too.
        let precision = subject.params.precision();
        let measured = (0..3).map(|_| MachineLimits::measure(Duration::from_millis(200), precision));
        report.compare_with(measured.reduce(MachineLimits::max));
    }
    report.print()?;
    Ok(Done::with(report))
}
