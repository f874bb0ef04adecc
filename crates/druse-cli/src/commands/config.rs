//! `druse config`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use druse_run::RunConfig;
use druse_run::overlay::Layers;
use druse_run::presets::describe_presets;

use crate::console;
use crate::models::registry;

/// Subcommands of `druse config`.
#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Print the JSON Schema of the configuration.
    #[command(after_help = "Example:\n  druse config schema > druse-config.schema.json")]
    Schema,
    /// Print a complete configuration as TOML.
    #[command(
        after_help = "Examples:\n  druse config show --preset gemsdiff-paper > my.toml\n  druse config show --config my.toml --set optim.lr=5e-4"
    )]
    Show(ShowArgs),
    /// List the presets.
    #[command(after_help = "Example:\n  druse config presets")]
    Presets,
}

/// Arguments of `druse config show`.
#[derive(Args)]
pub struct ShowArgs {
    /// Preset that the configuration starts from [default: gemsdiff-small].
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Single values, such as train.epochs=10. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

/// Runs the command.
pub fn run(command: &ConfigCommand) -> crate::Outcome {
    match command {
        ConfigCommand::Schema => console::data_line(&format!("{:#}", RunConfig::schema(registry())))?,
        ConfigCommand::Show(args) => {
            let layers = Layers {
                registry: registry(),
                preset: args.preset.as_deref(),
                file: args.config.as_deref(),
                settings: &args.settings,
            };
            let config = layers.resolve()?;
            config.validate_for(registry())?;
            console::data(&config.to_toml())?;
        }
        ConfigCommand::Presets => {
            for (name, description) in describe_presets(registry()) {
                console::data_line(&format!("{name:18} {description}"))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
