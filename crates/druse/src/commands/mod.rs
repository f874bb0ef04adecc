//! One file a command.

mod bench;
mod config;
mod data;
mod export;
mod info;
mod merge;
mod parity;
mod sample;
mod train;

use clap::Subcommand;

use crate::Outcome;

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Train a model on a data set.
    Train(train::TrainArgs),
    /// Sample new structures.
    Sample(sample::SampleArgs),
    /// Put the shards of a sampling run together.
    Merge(merge::MergeArgs),
    /// Say what a checkpoint, data set or structure file holds.
    Info(info::InfoArgs),
    /// Data sets: statistics, conversion, splits, download.
    #[command(subcommand)]
    Data(data::DataCommand),
    /// Configuration: presets, complete values, JSON Schema.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Write a trained model without its optimiser state.
    Export(export::ExportArgs),
    /// Compare the network with reference values.
    Parity(parity::ParityArgs),
    /// Measure the throughput of a training step and a sampling step.
    Bench(bench::BenchArgs),
}

impl Command {
    /// Runs the command.
    pub fn run(self) -> Outcome {
        match self {
            Self::Train(args) => train::run(&args),
            Self::Sample(args) => sample::run(&args),
            Self::Merge(args) => merge::run(&args),
            Self::Info(args) => info::run(&args),
            Self::Data(command) => data::run(command),
            Self::Config(command) => config::run(&command),
            Self::Export(args) => export::run(&args),
            Self::Parity(args) => parity::run(&args),
            Self::Bench(args) => bench::run(&args),
        }
    }
}
