//! What the commands that sample share: where structures go, how many steps, progress.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Args;
use druse_crystal::formats::Format;
use druse_data::Listing;
use druse_run::model::LoadedModel;
use druse_run::output::{
    FAILURES_FILE, Failure as Failed, STRUCTURES_FILE, SampleFormat, parse_lines, record,
};
use druse_run::sample::images::IMAGES_FILE;
use druse_run::sample::{
    Finished, FolderSink, LARGER_THAN_TRAINING, MemorySink, SamplePlan, Shard, Summary, Target, Workers,
    sample,
};
use druse_run::{Event, Observer, RunError, RunFolder};

use crate::console;
use crate::failure::Failure;
use crate::formats::sample_format;
use crate::models::{lacking, registry};
use crate::rows;

/// Where sampled structures go, and how they are made.
#[derive(Args)]
pub struct SamplingArgs {
    /// Another seed, other structures.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Folder for the structures.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Files to write besides structures.jsonl.
    #[arg(long, value_parser = sample_format(), default_value_t = SampleFormat::Structures(Format::Cif))]
    format: SampleFormat,
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

impl SamplingArgs {
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
        let mut sink = FolderSink::new(&folder, args.format, args.resume);
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
) -> Result<Summary, Failure> {
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
    let folder = RunFolder::open(&args.out)?;
    let begun = Instant::now();
    let share = (0..count).filter(|i| i % args.shard.count == args.shard.index).count();
    let bar = console::bar(share as u64, "structures");
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
    let sink = FolderSink::new(&folder, args.format, args.resume);
    let mut sink = match images {
        Some(normalization) => sink.keeping_images(normalization),
        None => sink,
    };
    let summary = sample(generator, &model.params, &plan, &mut sink, &mut watch, stop);
    bar.finish();
    let summary = summary.map_err(|error| match error {
        RunError::Model(error) => lacking(error),
        error => error.into(),
    })?;
    let (out, seconds) = (args.out.display(), begun.elapsed().as_secs_f64());
    let found = if summary.found > 0 { format!(" ({} were there)", summary.found) } else { String::new() };
    console::note(&format!(
        "{} structures in {seconds:.1} s{found}: {out}/{STRUCTURES_FILE}",
        summary.sampled
    ));
    if images.is_some() {
        console::note(&format!("the images: {out}/{IMAGES_FILE}"));
    }
    if summary.failed > 0 {
        console::warn(&format!("{} structures failed: {out}/{FAILURES_FILE}", summary.failed));
    }
    if summary.larger_than_training > 0 {
        console::note(&format!(
            "{} structures have more atoms than any of the training data, marked {LARGER_THAN_TRAINING}",
            summary.larger_than_training
        ));
    }
    if summary.interrupted {
        console::note("interrupted; continue with --resume");
    } else if summary.sampled == 0 && summary.found == 0 && summary.failed > 0 {
        return Err(Failure::environment("every structure failed"));
    }
    Ok(summary)
}

/// The exit code of a command that ends with sampling.
pub fn exit_code(summary: &Summary) -> ExitCode {
    if summary.interrupted { ExitCode::from(130) } else { ExitCode::SUCCESS }
}
