//! What the commands that sample share: where structures go, how many steps, progress.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Args;
use druse_crystal::formats::Format;
use druse_data::Listing;
use druse_run::model::LoadedModel;
use druse_run::output::{
    FAILURES_FILE, Failure as Failed, RunIdentity, STRUCTURES_FILE, SampleFormat, parse_lines, record,
};
use druse_run::sample::images::IMAGES_FILE;
use druse_run::sample::{
    Finished, FolderSink, LARGER_THAN_TRAINING, Manifest, MemorySink, SamplePlan, Shard, Sink, Summary,
    Target, Workers, sample,
};
use druse_run::{Event, Observer, RunError, RunFolder};
use schemars::JsonSchema;
use serde::Serialize;

use crate::console;
use crate::failure::Failure;
use crate::formats::sample_format;
use crate::models::{lacking, registry};
use crate::rows;
use crate::stream::Stream;

/// Where sampled structures go, and how they are made.
#[derive(Args)]
pub struct SamplingArgs {
    /// Another seed, other structures.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Folder for the structures; `-` for standard output, where each is written as it is finished.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Files to write besides structures.jsonl [default: cif]; with --out -, what is written [default: jsonl].
    #[arg(long, value_parser = sample_format())]
    format: Option<SampleFormat>,
    /// Structures in flight at a time on an accelerator; the CPU works on a few a thread.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// Continue in a folder that holds part of the structures.
    #[arg(long)]
    pub resume: bool,
    /// Sample only the structures whose index leaves the remainder i when divided by n.
    #[arg(long, value_name = "i/n", default_value_t)]
    pub shard: Shard,
    /// Keep the images of a model that makes images, in images.safetensors, a row for each structure.
    #[arg(long)]
    keep_images: bool,
    /// A sampling setting of the model, such as steps_per_level=20 (`druse config show` lists them). Metrics of structures
    /// that were sampled with other settings are not those of the model's protocol. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

/// The model with the sampling settings of the command line, and with those that other options stand for.
pub fn configured(
    args: &SamplingArgs,
    model: LoadedModel,
    further: &[String],
) -> Result<LoadedModel, Failure> {
    Ok(model.with_sampling(registry(), &[&args.settings, further].concat())?)
}

/// What a command that samples leaves.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SamplingResult {
    /// The model, in words.
    model: String,
    /// Hash of the model's file.
    model_hash: String,
    /// The seed.
    seed: u64,
    /// Folder of the structures; `-` for standard output.
    out: PathBuf,
    /// File of the structures, one a line.
    structures_file: Option<PathBuf>,
    /// File of the structures that the model failed at, with the reasons; `null` where it failed at none in this call.
    failures_file: Option<PathBuf>,
    /// Structures that were asked for; of a share of a run, those of the share.
    requested: u64,
    /// Structures finished by this call.
    sampled: u64,
    /// Structures that were there already.
    found: u64,
    /// Structures that the model failed at in this call.
    failed: u64,
    /// Structures finished by this call with more atoms than any of the training data.
    larger_than_training: u64,
    /// Whether it was stopped before the end; `--resume` continues.
    interrupted: bool,
    /// Seconds that the call took.
    seconds: f64,
}

impl SamplingResult {
    /// Whether it was stopped before the end.
    pub fn interrupted(&self) -> bool {
        self.interrupted
    }

    /// The exit code of a command that ends with sampling.
    pub fn code(&self) -> u8 {
        if self.interrupted { 130 } else { 0 }
    }
}

impl SamplingArgs {
    /// Whether structures are written to stdout.
    pub fn to_stdout(&self) -> bool {
        self.out.as_os_str() == "-"
    }

    /// The form of the files beside `structures.jsonl`.
    fn format(&self) -> SampleFormat {
        self.format.unwrap_or(SampleFormat::Structures(Format::Cif))
    }

    /// What is sampled, and how it is worked off.
    fn plan(&self, model: &LoadedModel, targets: Vec<Target>, count: u64) -> SamplePlan {
        SamplePlan {
            shard: self.shard,
            workers: Workers::for_device(model.params.device(), self.batch_size as usize),
            ..model.plan(targets, count, self.seed)
        }
    }
}

/// Samples the targets into the folder where `to_folder` says so, else into memory. Either way the set is the one that the
/// folder has: a failure is a row without a structure.
pub fn collect(
    args: &SamplingArgs,
    model: &LoadedModel,
    targets: Vec<Target>,
    count: u64,
    to_folder: bool,
    watch: &mut (dyn Observer + Send),
    stop: &AtomicBool,
) -> Result<(Listing, Summary), Failure> {
    let plan = args.plan(model, targets, count);
    let generator = model.generator().map_err(lacking)?;
    let told = |error: RunError| match error {
        RunError::Model(error) => lacking(error),
        error => error.into(),
    };
    if to_folder {
        let folder = RunFolder::open(&args.out)?;
        let mut sink = FolderSink::new(&folder, args.format(), args.resume);
        let summary = sample(generator, &model.params, &plan, &mut sink, watch, stop).map_err(told)?;
        let records = parse_lines(&folder.join(STRUCTURES_FILE))?;
        let failures = parse_lines(&folder.join(FAILURES_FILE))?;
        return Ok((rows::listing("sampled", &args.out, records, failures), summary));
    }
    let mut sink = MemorySink::default();
    let summary = sample(generator, &model.params, &plan, &mut sink, watch, stop).map_err(told)?;
    let (mut records, mut failures) = (Vec::new(), Vec::new());
    for Finished { index, seed, label, properties, result, .. } in sink.finished {
        match result {
            Ok(structure) => records.push(record(index, seed, structure, &properties)),
            Err(e) => failures.push(Failed { index, id: None, label, reason: e.to_string(), properties }),
        }
    }
    Ok((rows::listing("sampled", Path::new(""), records, failures), summary))
}

/// Samples the targets, with a bar, and says what came of it.
pub fn run(
    args: &SamplingArgs,
    model: &LoadedModel,
    targets: Vec<Target>,
    count: u64,
    stop: &AtomicBool,
) -> Result<SamplingResult, Failure> {
    let plan = args.plan(model, targets, count);
    let generator = model.generator().map_err(lacking)?;
    let images = match (args.keep_images, generator.image_normalization()) {
        (true, None) => {
            let kind = generator.kind();
            return Err(Failure::mistake(format!(
                "there are no images to keep: models of the kind `{kind}` make none"
            ))
            .hint("leave out --keep-images"));
        }
        (true, normalization) => normalization,
        (false, _) => None,
    };
    let share = (0..count).filter(|&i| args.shard.holds(i)).count() as u64;
    let folder = match args.to_stdout() {
        true => None,
        false => Some(RunFolder::open(&args.out)?),
    };
    let mut sink: Box<dyn Sink> = match &folder {
        None => Box::new(args.stream(share)?),
        Some(folder) => {
            let sink = FolderSink::new(folder, args.format(), args.resume);
            Box::new(match images {
                Some(normalization) => sink.keeping_images(normalization),
                None => sink,
            })
        }
    };
    let begun = Instant::now();
    let bar = console::bar(share, "structures");
    let noun = if share == 1 { "structure" } else { "structures" };
    console::note(&format!("sampling {share} {noun} with the {}", model.name));
    // Many candidates of a composition may fail for one reason; the list has them all.
    let mut told: HashSet<String> = HashSet::new();
    let mut watch = |event: Event<'_>| match event {
        Event::SamplingStep { done, in_flight } => {
            bar.set_position(done as u64);
            bar.set_message(format!("{in_flight} in flight"));
        }
        Event::MemoryLimit { atoms } => bar.suspend(|| console::memory_limit(atoms)),
        Event::Sampled { index, failure: Some(reason) } if told.insert(reason.to_owned()) => {
            bar.suspend(|| console::warn(&format!("structure {index}: {reason}")));
        }
        _ => {}
    };
    let summary = sample(generator, &model.params, &plan, &mut *sink, &mut watch, stop);
    bar.finish();
    let summary = match summary {
        // Whoever read the structures has had enough: there is nobody to be told.
        Err(RunError::ReceiverGone) => {
            return Ok(args.result(model, share, &Summary::default(), begun.elapsed().as_secs_f64()));
        }
        Err(RunError::Model(error)) => return Err(lacking(error)),
        summary => summary?,
    };
    let result = args.result(model, share, &summary, begun.elapsed().as_secs_f64());
    args.tell(&summary, &result, images.is_some());
    if summary.sampled == 0 && summary.found == 0 && summary.failed > 0 && !summary.interrupted {
        return Err(Failure::environment("every structure failed"));
    }
    Ok(result)
}

impl SamplingArgs {
    /// The sink that writes to stdout.
    fn stream(&self, structures: u64) -> Result<ToStdout, Failure> {
        for (given, option) in [(self.resume, "--resume"), (self.keep_images, "--keep-images")] {
            if given {
                return Err(Failure::mistake(format!(
                    "{option} needs a folder, and --out is standard output"
                )));
            }
        }
        Ok(ToStdout(Stream::open("--out", self.format.unwrap_or(SampleFormat::Jsonl), structures)?))
    }

    fn result(&self, model: &LoadedModel, requested: u64, summary: &Summary, seconds: f64) -> SamplingResult {
        let file = |name: &str| (!self.to_stdout()).then(|| self.out.join(name));
        SamplingResult {
            model: model.name.clone(),
            model_hash: model.hash.clone(),
            seed: self.seed,
            out: self.out.clone(),
            structures_file: file(STRUCTURES_FILE),
            failures_file: file(FAILURES_FILE).filter(|_| summary.failed > 0),
            requested,
            sampled: summary.sampled,
            found: summary.found,
            failed: summary.failed,
            larger_than_training: summary.larger_than_training,
            interrupted: summary.interrupted,
            seconds,
        }
    }

    /// Says what came of it.
    fn tell(&self, summary: &Summary, result: &SamplingResult, images: bool) {
        let seconds = result.seconds;
        let found =
            if summary.found > 0 { format!(" ({} were there)", summary.found) } else { String::new() };
        let place = |file: &str| match self.to_stdout() {
            true => String::new(),
            false => format!(": {}/{file}", self.out.display()),
        };
        let n = summary.sampled;
        console::note(&format!("{n} structures in {seconds:.1} s{found}{}", place(STRUCTURES_FILE)));
        if images {
            console::note(&format!("the images{}", place(IMAGES_FILE)));
        }
        if summary.failed > 0 {
            console::warn(&format!("{} structures failed{}", summary.failed, place(FAILURES_FILE)));
        }
        if summary.larger_than_training > 0 {
            console::note(&format!(
                "{} structures have more atoms than any of the training data, marked {LARGER_THAN_TRAINING}",
                summary.larger_than_training
            ));
        }
        if summary.interrupted {
            console::note(match self.to_stdout() {
                true => "interrupted",
                false => "interrupted; continue with --resume",
            });
        }
    }
}

/// Standard output: structures as they are finished, in the order of their indices. Failures are said on stderr.
struct ToStdout(Stream);

impl Sink for ToStdout {
    fn begin(&mut self, _: &SamplePlan) -> Result<BTreeSet<u64>, RunError> {
        Ok(BTreeSet::new())
    }

    fn put(&mut self, finished: Finished) -> Result<(), RunError> {
        let Finished { index, seed, properties, result, .. } = finished;
        match result {
            Ok(structure) => self.0.write(&record(index, seed, structure, &properties), Manifest::SYMMETRIC),
            Err(_) => Ok(()),
        }
    }
}
