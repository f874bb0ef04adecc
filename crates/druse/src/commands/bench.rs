//! `druse bench`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use druse_crystal::{Composition, Element, Lattice, Structure};
use druse_models::{Condition, NoiseKey, SampleRequest, differentiate};
use druse_nn::Params;
use druse_nn::device::{self, is_host};
use druse_nn::limits::{MachineLimits, count_products};
use druse_nn::optim::{Adam, AdamConfig, Ema, clip_grad_norm};
use druse_run::overlay::Layers;
use serde::Serialize;

use crate::console;
use crate::failure::Failure;
use crate::model_source::{ComputeArgs, set_threads};

/// Arguments of `druse bench`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse bench
  druse bench --preset gemsdiff-paper --data data/mp_20 --batch-size 128

Prints structures per second of a training step (loss, gradient, clipping, Adam, moving average) and of a sampling
step, with freshly initialised weights; on the CPU also what the machine can do at most (matrix products of the shape
of an edge layer; memory traffic) and the share of the former that each step reaches.")]
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
    /// Print one JSON object instead of the table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compute: ComputeArgs,
}

/// The measurements of one run.
#[derive(Serialize)]
struct Report {
    preset: String,
    device: String,
    threads: usize,
    parameters: usize,
    structures: usize,
    atoms: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
    training: StepTime,
    sampling: StepTime,
    /// Sampling steps of a whole structure.
    sampling_steps: usize,
}

/// What the machine can do.
#[derive(Serialize)]
struct Limits {
    /// 32-bit matrix products, 10⁹ operations per second.
    product_gflops: f64,
    /// 10⁹ bytes per second.
    memory_gb_per_s: f64,
}

/// One kind of step.
#[derive(Serialize)]
struct StepTime {
    seconds: f64,
    repetitions: u32,
    structures_per_second: f64,
    /// Operations of the matrix products of one step, 10⁹; absent where they are not run by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    product_gflop: Option<f64>,
    /// Share of the machine's rate of matrix products.
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
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
    let limits = is_host(&device).then(|| MachineLimits::measure(Duration::from_millis(300)));

    let mut adam = Adam::new(&params, AdamConfig::default());
    let mut ema = Ema::new(&params, config.optim.ema_decay);
    let mut epoch = 0;
    let training = measure(args.seconds, size, limits, || {
        let keys: Vec<_> = (0..size as u64).map(|index| NoiseKey { seed: 0, epoch, index }).collect();
        epoch += 1;
        let (_, mut grads) = differentiate(generator.as_ref(), &params, &batch, &keys)?;
        clip_grad_norm(&mut grads, config.optim.clip_norm);
        adam.step(&mut params, &grads, config.optim.lr);
        ema.update(&params);
        Ok(())
    })?;

    let params = Params::init(generator.parameters(), 0, &device);
    let request = |(index, s): (u64, &&Structure)| SampleRequest {
        condition: Condition::Composition(Composition::from_species(&s.species)),
        seed: 0,
        index,
    };
    let requests: Vec<_> = (0..).zip(&batch).map(request).collect();
    let mut sampler = generator.sampler(&params, &requests)?;
    let (mut left, total) = (sampler.total_steps(), sampler.total_steps());
    let sampling = measure(args.seconds, size, limits, || {
        if left == 0 {
            sampler = generator.sampler(&params, &requests)?;
            left = total;
        }
        left -= 1;
        sampler.step()?;
        Ok(())
    })?;
    let report = Report {
        preset: config.preset.clone(),
        device: args.compute.device.clone(),
        threads: rayon::current_num_threads(),
        parameters: params.count(),
        structures: size,
        atoms,
        limits: limits
            .map(|l| Limits { product_gflops: 1e-9 * l.product_rate, memory_gb_per_s: 1e-9 * l.bandwidth }),
        training,
        sampling,
        sampling_steps: total,
    };
    if args.json {
        let json = serde_json::to_string_pretty(&report).map_err(Failure::environment)?;
        console::data_line(&json)?;
    } else {
        print(&report)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Repeats `work` for at least so many seconds and three times, after one unmeasured run that counts its operations.
fn measure(
    seconds: f64,
    structures: usize,
    limits: Option<MachineLimits>,
    mut work: impl FnMut() -> Result<(), Failure>,
) -> Result<StepTime, Failure> {
    let (first, operations) = count_products(&mut work);
    first?;
    let begun = Instant::now();
    let mut repetitions = 0;
    while repetitions < 3 || begun.elapsed().as_secs_f64() < seconds {
        work()?;
        repetitions += 1;
    }
    let seconds = begun.elapsed().as_secs_f64() / f64::from(repetitions);
    Ok(StepTime {
        seconds,
        repetitions,
        structures_per_second: structures as f64 / seconds,
        product_gflop: limits.map(|_| 1e-9 * operations as f64),
        share: limits.map(|l| operations as f64 / seconds / l.product_rate),
    })
}

fn print(report: &Report) -> Result<(), Failure> {
    let Report { preset, device, threads, parameters, structures, atoms, .. } = report;
    console::data_line(&format!(
        "{preset}, {parameters} parameters, {structures} structures, {atoms} atoms, device {device}, {threads} threads"
    ))?;
    if let Some(l) = &report.limits {
        console::data_line(&format!(
            "{:14} {:10.1} GFLOP/s in matrix products, {:.1} GB/s of memory traffic",
            "machine", l.product_gflops, l.memory_gb_per_s
        ))?;
    }
    for (name, step) in [("training step", &report.training), ("sampling step", &report.sampling)] {
        let share = step.product_gflop.zip(step.share).map_or(String::new(), |(gflop, share)| {
            format!("; {gflop:.1} GFLOP in products, {:.0} % of the machine", 100.0 * share)
        });
        console::data_line(&format!(
            "{name:14} {:10.1} structures/s ({:.1} ms, {} steps{share})",
            step.structures_per_second,
            1e3 * step.seconds,
            step.repetitions
        ))?;
    }
    let total = report.sampling_steps;
    let whole = report.sampling.structures_per_second / total as f64;
    console::data_line(&format!("{:14} {whole:10.2} structures/s at {total} steps each", "sampling"))
}

/// Cubic SrTiO3, a = 3.905 Å.
fn perovskite() -> Result<Structure, Failure> {
    let element = |s| Element::from_symbol(s).map_err(Failure::mistake);
    let (sr, ti, o) = (element("Sr")?, element("Ti")?, element("O")?);
    let coords = vec![[0.0; 3], [0.5; 3], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]];
    let lattice = Lattice::cubic(3.905).map_err(Failure::mistake)?;
    Structure::new(lattice, vec![sr, ti, o, o, o], coords).map_err(Failure::mistake)
}
