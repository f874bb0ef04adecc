//! `druse train`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use druse_nn::device;
use druse_run::config::RunConfig;
use druse_run::overlay::Layers;
use druse_run::train::{BEST, CONFIG_FILE, Ending, LAST, Outcome as Trained, holds_run, train_with};
use druse_run::{Event, RunFolder};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::Done;
use crate::console::{self, Bar};
use crate::failure::Failure;
use crate::input;
use crate::models::{registry, set_threads};
use crate::output;
use crate::ranks::{RankArgs, own_program};

/// Arguments of `druse train`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse train --data data/mp_20 --out runs/mp20
  druse train --preset gemsdiff-paper --data data/mp_20 --out runs/paper --set train.batch_size=64
  druse train --config my.toml --out runs/mine
  druse train --out runs/mp20 --resume
  druse train --data data/oxides --init runs/mp20/checkpoints/best.safetensors --out runs/oxides
  druse train --data data/mp_20 --out runs/mp20 --processes 2
  druse train --data data/mp_20 --out runs/mp20 --rank 0 --world 2 --rendezvous node1:7017

A run's folder holds config.toml, metrics.jsonl and checkpoints/{last,best}.safetensors. Ctrl-C saves and stops;
--resume continues with the numbers of an unbroken run.")]
pub struct TrainArgs {
    /// Preset that the configuration starts from (see `druse config presets`) [default: gemsdiff-small].
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Data set: a folder with train and val files, or one file or folder of structures; `-` for standard input.
    #[arg(long, value_name = "PATH", value_parser = input::path())]
    data: Option<PathBuf>,
    /// Folder of the run.
    #[arg(long, value_name = "DIR", value_parser = output::path())]
    pub out: PathBuf,
    /// Continue the run in the folder.
    #[arg(long)]
    pub resume: bool,
    /// Start from the weights of this model of the same sizes (train.init), to train it further or on other data.
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    init: Option<PathBuf>,
    /// Configuration file (TOML); its values replace those of the preset.
    #[arg(long, value_name = "FILE", value_parser = input::path())]
    config: Option<PathBuf>,
    /// Single values, such as train.epochs=10; replace those of the file. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Where to compute (train.device). Several, such as cuda:0,cuda:1, train together, a process each.
    #[arg(long)]
    device: Option<String>,
    /// Worker threads (train.threads), of each process. The results do not depend on it.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    pub ranks: RankArgs,
}

impl TrainArgs {
    /// The configuration that the options come to.
    pub fn config(&self) -> Result<RunConfig, Failure> {
        let stored = self.out.join(CONFIG_FILE);
        let file = match &self.config {
            Some(file) => Some(file.clone()),
            // A resumed run keeps the configuration it was started with.
            None if self.resume && stored.exists() => Some(stored),
            None => None,
        };
        let layers = Layers {
            registry: registry(),
            preset: self.preset.as_deref(),
            file: file.as_deref(),
            settings: &self.settings,
        };
        let mut config = layers.resolve()?;
        if let Some(path) = &self.data {
            config.data.path.clone_from(path);
        }
        if let Some(init) = &self.init {
            config.train.init = Some(init.clone());
        }
        if let Some(device) = &self.device {
            config.train.device.clone_from(device);
        }
        if let Some(threads) = self.threads {
            config.train.threads = threads;
        }
        if config.data.path.as_os_str().is_empty() {
            return Err(Failure::mistake("no data set is named").hint("add --data PATH"));
        }
        config.validate_for(registry())?;
        Ok(config)
    }
}

impl TrainArgs {
    /// Refuses a folder that holds another run.
    pub fn refuse_other_runs(&self) -> Result<(), Failure> {
        if self.resume || !holds_run(&self.out) {
            return Ok(());
        }
        let path = self.out.display();
        Err(Failure::mistake(format!("`{path}` already holds a training run"))
            .hint("continue it with --resume, or choose another folder"))
    }
}

/// Runs the command.
pub fn run(args: &TrainArgs) -> crate::Outcome {
    let ranks = args.ranks.resolved()?;
    if let Some(rank) = ranks.other_rank() {
        return serve_machine(args, &ranks, rank);
    }
    let config = args.config()?;
    let (ranks, device) = ranks.on_devices(&config)?;
    let device = device::parse(&device)?;
    set_threads(ranks.threads(config.train.threads))?;
    if let Some(remark) = config.train.precision.remark(&device) {
        console::warn(&remark);
    }
    let mut model = config.build(registry())?;
    ranks.check(model.trainable())?;
    args.refuse_other_runs()?;
    // The lock comes first: reading a large data set for nothing would be a pity.
    let folder = RunFolder::open(&args.out)?;
    // Alone, Ctrl-C ends the program at once until there is something to save.
    let several = ranks.world() > 1;
    let stop = if several { console::stop_flag()? } else { Arc::default() };
    let others = ranks.gather(&config, &own_program()?, &stop, &mut console::warn)?;
    let begun = Instant::now();
    let data = config.data.load().map_err(|e| others.told(e))?;
    let (train_n, val_n) = (data.train.len(), data.validation.len());
    let seconds = begun.elapsed().as_secs_f64();
    console::note(&format!("{train_n} training and {val_n} validation structures, read in {seconds:.1} s"));
    for skipped in data.skipped.iter().take(10) {
        console::warn(&format!("skipped {skipped}"));
    }
    if data.skipped.len() > 10 {
        console::warn(&format!("skipped {} structures in all", data.skipped.len()));
    }
    for warning in &data.warnings {
        console::note(warning);
    }
    others.compare_data(&data, &stop)?;
    let stop = if several { stop } else { console::stop_flag()? };
    let mut view = View::default();
    let trained = train_with(
        model.trainable_mut(),
        &config,
        &data,
        &folder,
        args.resume,
        &device,
        others.reduce(),
        &mut |event: Event<'_>| view.observe(&event),
        &stop,
    );
    if let Some(bar) = view.bar.take() {
        bar.finish();
    }
    others.end(&trained);
    Ok(report(&trained?, args, [train_n, val_n], begun.elapsed().as_secs_f64()))
}

/// The command as another rank than 0.
fn serve_machine(args: &TrainArgs, ranks: &RankArgs, rank: usize) -> crate::Outcome {
    let serve = || -> Result<Ending, Failure> {
        let stop = console::deaf_once()?;
        let config = args.config()?;
        set_threads(config.train.threads)?;
        let mut model = config.build(registry())?;
        ranks.check(model.trainable())?;
        ranks.serve(rank, &config, model.trainable_mut(), &stop)
    };
    serve().map(|ending| ended(rank, ending)).map_err(|failure| failure.of_rank(rank))
}

/// What the command leaves.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub enum TrainAnswer {
    /// The run.
    Run(TrainResult),
    /// Another process than that of rank 0, which is the run.
    Rank {
        /// Number of the process.
        rank: usize,
        /// As that of the run.
        ending: &'static str,
    },
}

/// What a run leaves.
#[derive(Serialize, JsonSchema)]
pub struct TrainResult {
    /// Folder of the run.
    out: PathBuf,
    /// File of the best model.
    model: PathBuf,
    /// `finished`, `early_stop`, `time_limit` or `interrupted`; `--resume` continues.
    ending: &'static str,
    /// Epochs done, those of earlier calls included.
    epochs: u64,
    /// Steps done, those of earlier calls included.
    steps: u64,
    /// Lowest validation loss; of the training where nothing is validated.
    best_loss: Option<f64>,
    /// Training structures.
    training: usize,
    /// Validation structures.
    validation: usize,
    /// Seconds of the call.
    seconds: f64,
}

fn report(trained: &Trained, args: &TrainArgs, [training, validation]: [usize; 2], seconds: f64) -> Done {
    let out = args.out.display();
    let reached = format!("{} epochs, {} steps", trained.epoch, trained.step);
    let best = trained.best.map_or(String::new(), |b| format!(", best loss {b:.4}"));
    let (said, code) = match trained.ending {
        Ending::Finished => ("finished", 0),
        Ending::EarlyStop => ("stopped: the validation loss no longer improves", 0),
        Ending::TimeLimit => ("stopped: the time is up", 0),
        Ending::Interrupted => ("interrupted and saved; continue with --resume", 130),
    };
    match trained.step {
        // Nothing was to be trained.
        0 if trained.ending == Ending::Finished => console::note(said),
        _ => console::note(&format!("{said}: {reached}{best}")),
    }
    let name = if trained.best.is_some() { BEST } else { LAST };
    console::note(&format!("model: {out}/{name}"));
    let result = TrainResult {
        out: args.out.clone(),
        model: args.out.join(name),
        ending: words(trained.ending),
        epochs: trained.epoch,
        steps: trained.step,
        best_loss: trained.best,
        training,
        validation,
        seconds,
    };
    Done::with(TrainAnswer::Run(result)).code(code)
}

/// An ending in the words of results.
fn words(ending: Ending) -> &'static str {
    match ending {
        Ending::Finished => "finished",
        Ending::EarlyStop => "early_stop",
        Ending::TimeLimit => "time_limit",
        Ending::Interrupted => "interrupted",
    }
}

/// How another rank than 0 ends.
pub fn ended(rank: usize, ending: Ending) -> Done {
    let code = match ending {
        Ending::Interrupted => 130,
        Ending::Finished | Ending::EarlyStop | Ending::TimeLimit => 0,
    };
    // What the training came to is with rank 0.
    Done::with(TrainAnswer::Rank { rank, ending: words(ending) }).code(code)
}

/// Remarks on single structures that are shown.
const MOST_WARNINGS: usize = 10;

/// Shows progress as a bar, or as a line an epoch where there is no terminal.
#[derive(Default)]
struct View {
    warnings: usize,
    bar: Option<Bar>,
    epochs: u64,
    rate: f64,
}

impl View {
    fn observe(&mut self, event: &Event<'_>) {
        match event {
            Event::Warning { id, text } => {
                self.warnings += 1;
                if self.warnings <= MOST_WARNINGS {
                    console::note(&format!("{id}: {text}"));
                }
            }
            Event::LeftOut { set, reason, structures } => {
                console::note(&format!("{set}: {structures} structures left out: {reason}"));
            }
            Event::Started(start) => {
                if self.warnings > MOST_WARNINGS {
                    console::note(&format!("… {} such structures in all", self.warnings));
                }
                self.epochs = start.epochs;
                let (parameters, epoch, step) = (start.parameters, start.epoch, start.step);
                if parameters == 0 {
                    let n = start.training;
                    console::note(&format!("nothing to train: the model is what it keeps of {n} structures"));
                    return;
                }
                console::note(&format!(
                    "model of {parameters} parameters, {} batches an epoch",
                    start.batches
                ));
                if step > 0 {
                    console::note(&format!("continuing after {epoch} epochs, {step} steps"));
                }
                let total = start.epochs * start.batches as u64;
                let bar = console::bar(total, "steps");
                bar.set_position(step);
                bar.reset_eta();
                self.bar = Some(bar);
            }
            Event::Step(m) => {
                // The pace of the last steps, smoothed.
                let seen = if self.rate == 0.0 { m.structures_per_s } else { self.rate };
                self.rate = 0.95 * seen + 0.05 * m.structures_per_s;
                if let Some(bar) = &self.bar {
                    bar.set_position(m.step);
                    let (epoch, epochs) = (m.epoch, self.epochs);
                    bar.set_message(format!("epoch {epoch}/{epochs} loss {:.4} {:.0}/s", m.loss, self.rate));
                }
            }
            Event::Epoch(m) => {
                let mut validation =
                    m.validation_loss.map_or(String::new(), |v| format!(", validation {v:.4}"));
                if let Some(mae) = m.validation_parts.get("mae") {
                    validation += &format!(" (MAE {mae:.4})");
                }
                let best = if m.best { " *" } else { "" };
                let (epoch, epochs) = (m.epoch, self.epochs);
                let line = format!(
                    "epoch {epoch}/{epochs}: training {:.4}{validation}{best}, {:.0} structures/s, {:.1} min",
                    m.train_loss, self.rate, m.minutes
                );
                match &self.bar {
                    Some(bar) => bar.println(&line),
                    None => console::note(&line),
                }
            }
            Event::MemoryLimit { atoms } => match &self.bar {
                Some(bar) => bar.suspend(|| console::memory_limit(*atoms)),
                None => console::memory_limit(*atoms),
            },
            Event::Restored { epoch, attempt, before_last, reason } => {
                let state = if *before_last { "before the last epoch" } else { "before it" };
                let text = format!("{reason}; epoch {epoch} begins anew ({attempt}), from the state {state}");
                match &self.bar {
                    Some(bar) => bar.suspend(|| console::warn(&text)),
                    None => console::warn(&text),
                }
            }
            Event::Saved(_)
            | Event::SamplingStep { .. }
            | Event::Sampled { .. }
            | Event::Evaluated { .. }
            | Event::Relaxed { .. }
            | Event::Progress { .. } => {}
        }
    }
}
