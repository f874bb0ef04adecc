//! Checks of a registered kind.

use std::fmt::Display;

use druse_models::Registry;
use druse_models::registry::ModelSettings;
use druse_run::RunConfig;
use druse_run::overlay::Layers;
use serde_json::{Map, Value, json};

/// The contract of a kind that a registry holds. Nothing is trained or sampled: that is the contract of its models, built
/// small.
///
/// - The default settings of models and sampling are valid, have a value for every key, and survive JSON.
/// - A key that does not exist is refused by name.
/// - Models bear the name of the kind, and serve the conditions that the kind says.
/// - Every preset is described, valid, builds a model, and survives a configuration file.
pub fn kind<'r>(registry: &'r Registry, name: &'r str) -> KindContract<'r> {
    KindContract { registry, name }
}

/// What is to be checked of a kind. See [`kind`].
#[must_use = "a contract that is not run checks nothing"]
pub struct KindContract<'r> {
    registry: &'r Registry,
    name: &'r str,
}

impl KindContract<'_> {
    /// Makes the checks.
    ///
    /// # Panics
    /// When a promise is not kept, with what is wrong.
    pub fn run(self) {
        if let Err(problem) = self.check() {
            panic!("contract of the kind `{}`: {problem}", self.name);
        }
    }

    /// Makes the checks.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        let Self { registry, name } = *self;
        let kind = registry.kind(name).map_err(in_words("the registry"))?;
        if kind.summary().is_empty() {
            return Err("it has no summary".into());
        }
        let (model, sampling) = (kind.defaults(), kind.sampling_defaults());
        kind.validate(&model.settings, &sampling).map_err(in_words("default settings"))?;
        complete("model", &model.settings, |settings| kind.complete(settings))?;
        complete("sampling", &sampling, |settings| kind.complete_sampling(settings))?;
        let text = serde_json::to_string(&model).map_err(in_words("default settings"))?;
        let again: ModelSettings = serde_json::from_str(&text).map_err(in_words("default settings"))?;
        if again != model {
            return Err(format!("default settings return from JSON as {again:?}"));
        }
        self.serves_what_it_says(&model, &sampling)?;
        for preset in kind.presets() {
            self.preset(preset.name).map_err(|e| format!("preset `{}`: {e}", preset.name))?;
        }
        Ok(())
    }

    /// Builds a model and compares its name and conditions with those of the kind.
    fn serves_what_it_says(
        &self,
        model: &ModelSettings,
        sampling: &Map<String, Value>,
    ) -> Result<(), String> {
        let kind = self.registry.kind(self.name).map_err(in_words("the registry"))?;
        let built = self.registry.build(model, sampling).map_err(in_words("a model"))?;
        let found = built.trainable().kind();
        if found != self.name {
            return Err(format!("its models call themselves `{found}`"));
        }
        let mut said = kind.conditions().to_vec();
        let mut served = built.as_generator().map_or(Vec::new(), |g| g.capabilities().combinations);
        said.sort();
        served.sort();
        if said != served {
            let list = |sets: &[druse_models::ConditionSet]| -> Vec<String> {
                sets.iter().map(ToString::to_string).collect()
            };
            return Err(format!("it says it serves {:?}, a model serves {:?}", list(&said), list(&served)));
        }
        Ok(())
    }

    fn preset(&self, name: &str) -> Result<(), String> {
        let registry = self.registry;
        let descriptions = druse_run::presets::describe_presets(registry);
        if !descriptions.iter().any(|(preset, text)| *preset == name && !text.trim().is_empty()) {
            return Err("it has no description".into());
        }
        let config = RunConfig::preset(registry, name).map_err(in_words("it"))?;
        if config.model.kind != self.name {
            return Err(format!("it is for the kind `{}`", config.model.kind));
        }
        config.validate_for(registry).map_err(in_words("its values"))?;
        self.serves_what_it_says(&config.model, &config.sampling)?;
        let dir = tempfile::tempdir().map_err(in_words("a folder"))?;
        let file = dir.path().join("config.toml");
        druse_crystal::files::write(&file, config.to_toml().as_bytes()).map_err(in_words("a file"))?;
        let layers = Layers { file: Some(&file), ..Layers::new(registry) };
        let again = layers.resolve().map_err(in_words("its file"))?;
        match again == config {
            true => Ok(()),
            false => Err(format!("it returns from a file as {again:?}")),
        }
    }
}

fn in_words<E: Display>(what: &str) -> impl Fn(E) -> String {
    move |e| format!("{what}: {e}")
}

/// Checks that settings are complete and that a key that does not exist is refused.
fn complete<E: Display>(
    what: &str,
    defaults: &Map<String, Value>,
    complete: impl Fn(&Map<String, Value>) -> Result<Map<String, Value>, E>,
) -> Result<(), String> {
    for settings in [defaults, &Map::new()] {
        let completed = complete(settings).map_err(in_words(what))?;
        if completed != *defaults {
            return Err(format!(
                "the defaults of the {what} settings {defaults:?} are completed to {completed:?}"
            ));
        }
    }
    let unknown = "a key nobody has";
    let mut strange = defaults.clone();
    strange.insert(unknown.into(), json!(1));
    match complete(&strange) {
        Err(e) if e.to_string().contains(unknown) => Ok(()),
        Err(e) => Err(format!("an unknown key of the {what} settings is refused without its name: {e}")),
        Ok(_) => Err(format!(
            "an unknown key of the {what} settings is accepted (`#[serde(deny_unknown_fields)]`)"
        )),
    }
}
