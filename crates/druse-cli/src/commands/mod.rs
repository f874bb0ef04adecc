//! One file a command.

pub mod bench;
pub mod cluster;
pub mod compare;
pub mod config;
pub mod data;
pub mod encode;
pub mod evaluate;
pub mod export;
pub mod featurize;
pub mod hull;
pub mod import;
pub mod info;
mod interpolate;
pub mod match_structures;
pub mod merge;
pub mod optimize;
pub mod parity;
pub mod predict;
pub mod rank;
pub mod reconstruct;
pub mod reference;
pub mod relax;
pub mod sample;
mod schema;
pub mod screen;
mod stability;
pub mod train;
mod train_rank;
pub mod view;

use clap::Subcommand;

use crate::Outcome;

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Train a model on a data set.
    Train(train::TrainArgs),
    /// Sample new structures.
    Sample(sample::SampleArgs),
    /// Encode structures, decode them again and compare.
    Reconstruct(reconstruct::ReconstructArgs),
    /// Search the latent space for structures with a better property.
    Optimize(optimize::OptimizeArgs),
    /// Sample structures on the way between two structures.
    Interpolate(interpolate::InterpolateArgs),
    /// Write the latents of structures.
    Encode(encode::EncodeArgs),
    /// Put the shards of a run together.
    Merge(merge::MergeArgs),
    /// Run a command on a cluster, in shards.
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Relax structures: move atoms and cell until the forces vanish.
    Relax(relax::RelaxArgs),
    /// Screen generated structures: validity, duplicates, relaxation, energy above hull, novelty, ranking.
    Screen(screen::ScreenArgs),
    /// Order candidates for a composition by their probability and energy.
    Rank(rank::RankArgs),
    /// Predict a property of every structure of a set.
    Predict(predict::PredictArgs),
    /// Judge generated structures: validity, coverage, distances, uniqueness, novelty, match rates.
    Evaluate(Box<evaluate::EvaluateArgs>),
    /// Put several evaluations side by side.
    Compare(compare::CompareArgs),
    /// Phase diagrams: energy above hull, decomposition, stable phases.
    Hull(hull::HullArgs),
    /// Compute features of every structure of a set.
    Featurize(featurize::FeaturizeArgs),
    /// Say whether structures are the same.
    Match(match_structures::MatchArgs),
    /// Show structures, sampling and training in the browser.
    View(view::ViewArgs),
    /// Say what a checkpoint, data set or structure file holds.
    Info(info::InfoArgs),
    /// Data sets: statistics, conversion, splits, download.
    #[command(subcommand)]
    Data(data::DataCommand),
    /// Configuration: presets, complete values, JSON Schema.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Write a trained model without its optimizer state.
    Export(export::ExportArgs),
    /// Make a checkpoint of one that a published code wrote.
    Import(import::ImportArgs),
    /// Compare the network with reference values.
    Parity(parity::ParityArgs),
    /// Measure speed, memory and share of the machine: training, sampling, graphs, evaluation.
    Bench(bench::BenchArgs),
    /// Print a page of the reference documentation, as Markdown.
    #[command(subcommand, hide = true)]
    Reference(reference::ReferenceCommand),
    /// Work as another rank of a training, told by rank 0 on standard input.
    #[command(hide = true, name = crate::ranks::CHILD_COMMAND)]
    TrainRank,
}

impl Command {
    /// Runs the command.
    pub fn run(self) -> Outcome {
        match self {
            Self::Train(args) => train::run(&args),
            Self::Sample(args) => sample::run(&args),
            Self::Reconstruct(args) => reconstruct::run(&args),
            Self::Optimize(args) => optimize::run(&args),
            Self::Interpolate(args) => interpolate::run(&args),
            Self::Encode(args) => encode::run(&args),
            Self::Merge(args) => merge::run(&args),
            Self::Cluster(command) => cluster::run(&command),
            Self::Relax(args) => relax::run(&args),
            Self::Screen(args) => screen::run(&args),
            Self::Rank(args) => rank::run(&args),
            Self::Predict(args) => predict::run(&args),
            Self::Evaluate(args) => evaluate::run(&args),
            Self::Compare(args) => compare::run(&args),
            Self::Hull(args) => hull::run(&args),
            Self::Featurize(args) => featurize::run(&args),
            Self::Match(args) => match_structures::run(&args),
            Self::View(args) => view::run(&args),
            Self::Info(args) => info::run(&args),
            Self::Data(command) => data::run(command),
            Self::Config(command) => config::run(&command),
            Self::Export(args) => export::run(&args),
            Self::Import(args) => import::run(&args),
            Self::Parity(args) => parity::run(&args),
            Self::Bench(args) => bench::run(&args),
            Self::Reference(command) => reference::run(&command),
            Self::TrainRank => train_rank::run(),
        }
    }
}
