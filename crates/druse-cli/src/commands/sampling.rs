//! What the commands that sample share: where structures go, how many steps, progress.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Args;
use druse_crystal::formats::Format;
use druse_models::Autoencoder;
use druse_run::output::{FAILURES_FILE, OutputFormat, STRUCTURES_FILE};
use druse_run::sample::{Crew, SamplePlan, Shard, Summary, Wanted, sample};
use druse_run::{Event, RunFolder};

use crate::console;
use crate::failure::Failure;
use crate::formats::sample_format;
use crate::model_source::LoadedModel;

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
    #[arg(long, value_parser = sample_format(), default_value_t = OutputFormat::Structures(Format::Cif))]
    format: OutputFormat,
    /// Structures in flight at a time on an accelerator; the CPU works on a few a thread.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// Continue in a folder that holds part of the structures.
    #[arg(long)]
    resume: bool,
    /// Sample only the structures whose index leaves the remainder i when divided by n.
    #[arg(long, value_name = "i/n", default_value_t)]
    shard: Shard,
    /// Langevin steps at each noise level, for models that have them [default: the model's protocol]. Fewer are faster;
    /// figures of such structures are not those of the protocol.
    #[arg(long, value_name = "N")]
    steps_per_level: Option<usize>,
}

/// Samples what is wanted, with a bar, and says what came of it.
pub fn run(
    args: &SamplingArgs,
    model: &mut LoadedModel,
    wanted: Vec<Wanted>,
    count: u64,
    stop: &AtomicBool,
) -> Result<Summary, Failure> {
    if let Some(steps) = args.steps_per_level {
        model.generator.set_steps_per_level(steps)?;
    }
    let plan = SamplePlan {
        wanted,
        count,
        seed: args.seed,
        model: model.hash.clone(),
        steps_per_level: args.steps_per_level,
        shard: args.shard,
        precision: model.params.precision(),
        format: args.format,
        crew: Crew::for_device(model.params.device(), args.batch_size as usize),
        resume: args.resume,
    };
    let folder = RunFolder::open(&args.out)?;
    let begun = Instant::now();
    let share = (0..count).filter(|i| i % args.shard.count == args.shard.index).count();
    let bar = console::bar(share as u64, "{bar:24} {pos}/{len} structures {msg} {eta_precise} left");
    console::note(&format!("sampling {share} structures with the {}", model.name));
    let mut watch = |event: Event<'_>| match event {
        Event::SamplingStep { done, in_flight } => {
            bar.set_position(done as u64);
            bar.set_message(format!("{in_flight} in flight"));
        }
        Event::MemoryLimit { atoms } => bar.suspend(|| console::memory_limit(atoms)),
        Event::Sampled { index, failure: Some(reason) } => {
            bar.suspend(|| console::warn(&format!("structure {index}: {reason}")));
        }
        _ => {}
    };
    let summary = sample(model.generator.as_ref(), &model.params, &plan, &folder, &mut watch, stop);
    bar.finish_and_clear();
    let summary = summary?;
    let (out, seconds) = (args.out.display(), begun.elapsed().as_secs_f64());
    let found = if summary.found > 0 { format!(" ({} were there)", summary.found) } else { String::new() };
    console::note(&format!(
        "{} structures in {seconds:.1} s{found}: {out}/{STRUCTURES_FILE}",
        summary.sampled
    ));
    if summary.failed > 0 {
        console::warn(&format!("{} structures failed: {out}/{FAILURES_FILE}", summary.failed));
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

/// The latent space of a model.
pub fn autoencoder(model: &LoadedModel) -> Result<&dyn Autoencoder, Failure> {
    model.generator.autoencoder().ok_or_else(|| {
        let kind = model.generator.kind();
        Failure::mistake(format!("the {} is a {kind} model, which has no latent space", model.name))
            .hint("name a CDVAE model with --model")
    })
}
