//! Named configurations: what the folders of the models hold.

use druse_models::registry::{Preset, Registry};
use serde_json::{Map, Value};

use super::error::ConfigError;
use super::overlay::Layers;
use super::settings::RunConfig;

impl RunConfig {
    /// The configuration of a preset; its data path is empty.
    ///
    /// # Errors
    /// [`ConfigError`] when there is no such preset, or its file names a key that does not exist.
    pub fn preset(registry: &Registry, name: &str) -> Result<Self, ConfigError> {
        Layers { preset: Some(name), ..Layers::new(registry) }.resolve()
    }
}

/// Names of the presets of a registry with a line on each.
pub fn describe_presets(registry: &Registry) -> Vec<(&'static str, String)> {
    let presets = registry.kinds().iter().flat_map(|kind| kind.presets());
    presets.map(|preset| (preset.name, description(preset))).collect()
}

fn description(preset: &Preset) -> String {
    let table: Map<String, Value> = toml::from_str(preset.text).unwrap_or_default();
    table.get("description").and_then(Value::as_str).unwrap_or_default().to_owned()
}
