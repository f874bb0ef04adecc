//! `druse bench`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use druse_crystal::{Composition, Element, Lattice, Structure};
use druse_models::{Condition, NoiseKey, SampleRequest, differentiate};
use druse_nn::Params;
use druse_nn::device;
use druse_nn::optim::{Adam, AdamConfig, Ema, clip_grad_norm};
use druse_run::overlay::Layers;

use crate::console;
use crate::failure::Failure;
use crate::model_source::{ComputeArgs, set_threads};

/// Arguments of `druse bench`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse bench
  druse bench --preset gemsdiff-paper --data data/mp_20 --batch-size 128

Prints structures per second of a training step (loss, gradient, clipping, Adam, moving average) and of a sampling
step, with freshly initialised weights.")]
pub struct BenchArgs {
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
    /// Seconds to measure each of the two.
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    seconds: f64,
    #[command(flatten)]
    compute: ComputeArgs,
}

/// Runs the command.
pub fn run(args: &BenchArgs) -> crate::Outcome {
    let layers = Layers { preset: args.preset.as_deref(), file: None, settings: &args.settings };
    let mut config = layers.resolve()?;
    config.validate()?;
    set_threads(args.compute.threads.unwrap_or(0))?;
    let device = device::parse(&args.compute.device)?;
    let size = args.batch_size.unwrap_or(config.train.batch_size.min(128)).max(1);
    let structures = match &args.data {
        None => vec![perovskite()?; size],
        Some(path) => {
            config.data.path.clone_from(path);
            let all = config.data.load()?.train.structures;
            // Spread over the set, which may be sorted.
            (0..size).map(|i| all[i * all.len() / size].clone()).collect()
        }
    };
    let batch: Vec<&Structure> = structures.iter().collect();
    let atoms: usize = batch.iter().map(|s| s.len()).sum();
    let mut generator = config.model.build()?;
    generator.fit_statistics(&batch)?;
    let mut params = Params::init(generator.parameters(), 0, &device);
    let (preset, threads) = (&config.preset, rayon::current_num_threads());
    console::data_line(&format!(
        "{preset}, {} parameters, {size} structures, {atoms} atoms, device {}, {threads} threads",
        params.count(),
        args.compute.device
    ))?;

    let mut adam = Adam::new(&params, AdamConfig::default());
    let mut ema = Ema::new(&params, config.optim.ema_decay);
    let mut epoch = 0;
    let (steps, time) = repeat(args.seconds, || {
        let keys: Vec<_> = (0..size as u64).map(|index| NoiseKey { seed: 0, epoch, index }).collect();
        epoch += 1;
        let (_, mut grads) = differentiate(generator.as_ref(), &params, &batch, &keys)?;
        clip_grad_norm(&mut grads, config.optim.clip_norm);
        adam.step(&mut params, &grads, config.optim.lr);
        ema.update(&params);
        Ok(())
    })?;
    report("training step", size, steps, time)?;

    let params = Params::init(generator.parameters(), 0, &device);
    let request = |(index, s): (u64, &&Structure)| SampleRequest {
        condition: Condition::Composition(Composition::from_species(&s.species)),
        seed: 0,
        index,
    };
    let requests: Vec<_> = (0..).zip(&batch).map(request).collect();
    let mut sampler = generator.sampler(&params, &requests)?;
    let (mut left, total) = (sampler.total_steps(), sampler.total_steps());
    let (steps, time) = repeat(args.seconds, || {
        if left == 0 {
            sampler = generator.sampler(&params, &requests)?;
            left = total;
        }
        left -= 1;
        sampler.step()?;
        Ok(())
    })?;
    report("sampling step", size, steps, time)?;
    let whole = size as f64 * steps as f64 / time.as_secs_f64() / total as f64;
    console::data_line(&format!("{:14} {whole:10.2} structures/s at {total} steps each", "sampling"))?;
    Ok(ExitCode::SUCCESS)
}

/// Repeats `work` for at least so many seconds and three times, after one unmeasured run.
fn repeat(seconds: f64, mut work: impl FnMut() -> Result<(), Failure>) -> Result<(u32, Duration), Failure> {
    work()?;
    let begun = Instant::now();
    let mut steps = 0;
    while steps < 3 || begun.elapsed().as_secs_f64() < seconds {
        work()?;
        steps += 1;
    }
    Ok((steps, begun.elapsed()))
}

fn report(name: &str, size: usize, steps: u32, time: Duration) -> Result<(), Failure> {
    let seconds = time.as_secs_f64() / f64::from(steps);
    let rate = size as f64 / seconds;
    console::data_line(&format!(
        "{name:14} {rate:10.1} structures/s ({:.1} ms, {steps} steps)",
        1e3 * seconds
    ))
}

/// Cubic SrTiO3, a = 3.905 Å.
fn perovskite() -> Result<Structure, Failure> {
    let element = |s| Element::from_symbol(s).map_err(Failure::mistake);
    let (sr, ti, o) = (element("Sr")?, element("Ti")?, element("O")?);
    let coords = vec![[0.0; 3], [0.5; 3], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]];
    let lattice = Lattice::cubic(3.905).map_err(Failure::mistake)?;
    Structure::new(lattice, vec![sr, ti, o, o, o], coords).map_err(Failure::mistake)
}
