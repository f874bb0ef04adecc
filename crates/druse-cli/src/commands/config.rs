//! `druse config`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use druse_run::RunConfig;
use druse_run::overlay::Layers;
use druse_run::presets::describe_presets;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::input;
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
    #[arg(long, value_name = "FILE", value_parser = input::path())]
    config: Option<PathBuf>,
    /// Single values, such as train.epochs=10. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

/// What `druse config schema` leaves.
#[derive(Serialize, JsonSchema)]
pub struct ConfigSchema {
    /// The JSON Schema of the configuration.
    config_schema: Value,
}

/// What `druse config show` leaves.
#[derive(Serialize, JsonSchema)]
pub struct Shown {
    /// The complete configuration.
    config: Value,
}

/// What `druse config presets` leaves.
#[derive(Serialize, JsonSchema)]
pub struct Presets {
    /// The presets.
    presets: Vec<Preset>,
}

/// A configuration to start from.
#[derive(Serialize, JsonSchema)]
pub struct Preset {
    /// Its name.
    name: String,
    /// What it is.
    description: String,
}

/// Runs the command.
pub fn run(command: &ConfigCommand) -> crate::Outcome {
    match command {
        ConfigCommand::Schema => {
            let config_schema = RunConfig::schema(registry());
            console::data_line(&format!("{config_schema:#}"))?;
            Ok(Done::with(ConfigSchema { config_schema }))
        }
        ConfigCommand::Show(args) => {
            let layers = Layers {
                registry: registry(),
                preset: args.preset.as_deref(),
                file: args.config.as_deref(),
                settings: &args.settings,
            };
            let config = layers.resolve()?;
            config.validate_for(registry())?;
            let text = config.to_toml();
            console::data(&text)?;
            let config = toml::from_str(&text).map_err(Failure::environment)?;
            Ok(Done::with(Shown { config }))
        }
        ConfigCommand::Presets => {
            let mut presets = Vec::new();
            for (name, description) in describe_presets(registry()) {
                console::data_line(&format!("{name:18} {description}"))?;
                presets.push(Preset { name: name.to_string(), description: description.to_string() });
            }
            Ok(Done::with(Presets { presets }))
        }
    }
}
