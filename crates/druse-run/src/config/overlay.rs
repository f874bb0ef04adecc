//! Layers of a configuration: preset, then file, then single settings.

use std::collections::BTreeMap;
use std::path::Path;

use druse_crystal::files;
use druse_models::registry::{DEFAULT_PRESET, ModelSettings, Registry};
use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

pub use super::error::ConfigError;
use super::settings::{DataConfig, OptimConfig, RunConfig, TrainConfig};

/// Where the layers of a configuration come from.
#[derive(Clone)]
pub struct Layers<'a> {
    /// The kinds of models and their presets.
    pub registry: &'a Registry,
    /// Preset; `None`: the one the file names, or the default.
    pub preset: Option<&'a str>,
    /// TOML file.
    pub file: Option<&'a Path>,
    /// `key=value` settings, later ones win.
    pub settings: &'a [String],
}

impl<'a> Layers<'a> {
    /// The default preset alone.
    pub fn new(registry: &'a Registry) -> Self {
        Self { registry, preset: None, file: None, settings: &[] }
    }

    /// Puts the layers together. Values are not validated yet, so that a caller can fill in the data path.
    ///
    /// # Errors
    /// [`ConfigError`] naming file and line or option, key and what was expected.
    pub fn resolve(&self) -> Result<RunConfig, ConfigError> {
        let file = self.file.map(Layer::read).transpose()?;
        let named = file.as_ref().and_then(|f| f.table.get("preset")).and_then(Value::as_str);
        let (kind, preset) = self.registry.preset(self.preset.or(named).unwrap_or(DEFAULT_PRESET))?;
        let mut target = Target::new(
            self.registry,
            RunConfig {
                preset: preset.name.to_owned(),
                model: kind.defaults(),
                sampling: kind.sampling_defaults(),
                data: DataConfig::default(),
                optim: OptimConfig::default(),
                train: TrainConfig::default(),
            },
        );
        let layer = Layer::parse(format!("preset `{}`", preset.name), preset.text)?;
        target.lay(layer)?;
        if let Some(layer) = file {
            target.lay(layer)?;
        }
        for text in self.settings {
            let (key, value) = parse_setting(text)?;
            target.apply(&|_| "--set".into(), &key, value)?;
        }
        Ok(target.config)
    }
}

/// The sampling settings of a configuration with some of them changed: `steps_per_level=20`.
///
/// # Errors
/// [`ConfigError`] naming the key and what was expected.
pub fn sampling_settings(
    registry: &Registry,
    config: &RunConfig,
    settings: &[String],
) -> Result<Map<String, Value>, ConfigError> {
    let mut target = Target::new(registry, config.clone());
    for text in settings {
        let (key, value) = parse_setting(text)?;
        let key = format!("sampling.{}", key.strip_prefix("sampling.").unwrap_or(&key));
        target.apply(&|_| "--set".into(), &key, value)?;
    }
    let kind = registry.kind(&target.config.model.kind)?;
    kind.validate(&target.config.model.settings, &target.config.sampling)
        .map_err(druse_models::registry::RegistryError::from)?;
    Ok(target.config.sampling)
}

/// The settings of the model of a configuration with some of them changed: `encoder.torsion=zero`.
///
/// # Errors
/// [`ConfigError`] naming the key and what was expected.
pub fn model_settings(
    registry: &Registry,
    config: &RunConfig,
    settings: &[String],
) -> Result<ModelSettings, ConfigError> {
    let mut target = Target::new(registry, config.clone());
    for text in settings {
        let (key, value) = parse_setting(text)?;
        let key = format!("model.{}", key.strip_prefix("model.").unwrap_or(&key));
        target.apply(&|_| "--set".into(), &key, value)?;
    }
    target.config.validate_for(registry)?;
    Ok(target.config.model)
}

/// A file of a configuration.
struct Layer {
    name: String,
    table: Map<String, Value>,
    /// The line of every key, by its dotted path.
    lines: BTreeMap<String, usize>,
}

impl Layer {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = files::read_to_string(path)?;
        Self::parse(format!("`{}`", path.display()), &text)
    }

    fn parse(name: String, text: &str) -> Result<Self, ConfigError> {
        let syntax = |e: toml::de::Error| ConfigError::Syntax {
            name: name.clone(),
            reason: e.to_string().trim_end().to_owned(),
        };
        let table = toml::from_str(text).map_err(syntax)?;
        let mut lines = BTreeMap::new();
        // The text has been parsed above: a table without lines would only make messages shorter.
        if let Ok(spanned) = DeTable::parse(text) {
            let line_of = |byte: usize| 1 + text[..byte].bytes().filter(|&b| b == b'\n').count();
            collect_lines(spanned.get_ref(), "", &line_of, &mut lines);
        }
        Ok(Self { name, table, lines })
    }

    /// Where a key is written.
    fn origin(&self, key: &str) -> String {
        match self.lines.get(key) {
            Some(line) => format!("{}, line {line}", self.name),
            None => self.name.clone(),
        }
    }
}

fn collect_lines(
    table: &DeTable<'_>,
    prefix: &str,
    line_of: &dyn Fn(usize) -> usize,
    lines: &mut BTreeMap<String, usize>,
) {
    for (name, value) in table {
        let key = join(prefix, name.get_ref());
        if let DeValue::Table(inner) = value.get_ref() {
            collect_lines(inner, &key, line_of, lines);
        }
        lines.insert(key, line_of(name.span().start));
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// Splits `a.b=c`; the right side is TOML where it parses as such, and text otherwise.
fn parse_setting(text: &str) -> Result<(String, Value), ConfigError> {
    let malformed = || ConfigError::Setting { text: text.to_owned() };
    let (key, raw) = text.split_once('=').ok_or_else(malformed)?;
    let (key, raw) = (key.trim(), raw.trim());
    if key.is_empty() || key.split('.').any(str::is_empty) {
        return Err(malformed());
    }
    let parsed: Option<Value> = toml::from_str::<Map<String, Value>>(&format!("value = {raw}"))
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"));
    Ok((key.to_owned(), parsed.unwrap_or_else(|| Value::String(raw.to_owned()))))
}

/// A configuration under construction, with its JSON form, in which every key is present (also those without value).
struct Target<'a> {
    registry: &'a Registry,
    config: RunConfig,
    tree: Value,
}

impl<'a> Target<'a> {
    fn new(registry: &'a Registry, config: RunConfig) -> Self {
        let tree = as_tree(&config);
        Self { registry, config, tree }
    }

    /// Lays the values of a file over what is there.
    fn lay(&mut self, mut layer: Layer) -> Result<(), ConfigError> {
        // Which preset counts was decided before; a description is for people.
        layer.table.remove("preset");
        layer.table.remove("description");
        let table = std::mem::take(&mut layer.table);
        self.apply(&|key| layer.origin(key), "", Value::Object(table))
    }

    /// Sets a value, leaf by leaf, so that an error belongs to one key.
    fn apply(&mut self, origin: &dyn Fn(&str) -> String, key: &str, value: Value) -> Result<(), ConfigError> {
        let pointer = |key: &str| match key {
            "" => String::new(),
            key => format!("/{}", key.replace('.', "/")),
        };
        let Some(current) = self.tree.pointer(&pointer(key)) else {
            return Err(self.unknown(origin(key), key));
        };
        if let (Value::Object(_), Value::Object(mut table)) = (current, value.clone()) {
            // The kind of the model decides which other keys there are.
            if key == "model"
                && let Some(kind) = table.remove("kind")
            {
                self.apply(origin, "model.kind", kind)?;
            }
            if key.is_empty()
                && let Some(model) = table.remove("model")
            {
                self.apply(origin, "model", model)?;
            }
            for (name, inner) in table {
                self.apply(origin, &join(key, &name), inner)?;
            }
            return Ok(());
        }
        if let ("model.kind", Value::String(name)) = (key, &value) {
            return self.switch_kind(&origin(key), name);
        }
        let shown = value.to_string();
        let mut tree = self.tree.clone();
        *tree.pointer_mut(&pointer(key)).expect("the key was found above") = value;
        match self.typed(&tree) {
            Ok(config) => {
                self.config = config;
                self.tree = tree;
                Ok(())
            }
            Err(reason) => {
                let reason = format!("= {shown}: {reason}");
                Err(ConfigError::WrongType { origin: origin(key), key: key.into(), reason })
            }
        }
    }

    /// The configuration of a tree, if every value has the type of its key.
    fn typed(&self, tree: &Value) -> Result<RunConfig, serde_json::Error> {
        let mut config: RunConfig = serde_json::from_value(tree.clone())?;
        if let Ok(kind) = self.registry.kind(&config.model.kind) {
            config.model.settings = kind.complete(&config.model.settings)?;
            config.sampling = kind.complete_sampling(&config.sampling)?;
        }
        Ok(config)
    }

    /// Another kind of model starts from its own defaults.
    fn switch_kind(&mut self, origin: &str, name: &str) -> Result<(), ConfigError> {
        if self.config.model.kind != name {
            let kind = self.registry.kind(name).map_err(|source| {
                let origin = Some(format!("{origin}: `model.kind`"));
                ConfigError::Registry { origin, source }
            })?;
            (self.config.model, self.config.sampling) = (kind.defaults(), kind.sampling_defaults());
            self.tree = as_tree(&self.config);
        }
        Ok(())
    }

    fn unknown(&self, origin: String, key: &str) -> ConfigError {
        let mut keys = Vec::new();
        collect_keys(&self.tree, "", &mut keys);
        if key.starts_with("sampling.") {
            keys.retain(|k| k.starts_with("sampling."));
            if keys.is_empty() {
                let kind = self.config.model.kind.clone();
                return ConfigError::NoSampling { origin, key: key.into(), kind };
            }
        }
        let last = |k: &str| k.rsplit('.').next().unwrap_or(k).to_owned();
        // The whole path counts; among equals the one whose last part is nearer.
        let nearest = keys
            .into_iter()
            .min_by_key(|k| {
                let whole = strsim::damerau_levenshtein(k, key);
                let part = strsim::damerau_levenshtein(&last(k), &last(key));
                (whole.min(part + 1), part)
            })
            .unwrap_or_default();
        ConfigError::UnknownKey { origin, key: key.into(), nearest }
    }
}

fn as_tree(config: &RunConfig) -> Value {
    serde_json::to_value(config).expect("a configuration is representable as JSON")
}

fn collect_keys(tree: &Value, prefix: &str, keys: &mut Vec<String>) {
    let Value::Object(table) = tree else { return };
    for (name, value) in table {
        let key = join(prefix, name);
        collect_keys(value, &key, keys);
        keys.push(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(
        preset: Option<&str>,
        file: Option<&str>,
        settings: &[&str],
    ) -> Result<RunConfig, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.toml");
        if let Some(text) = file {
            std::fs::write(&path, text).unwrap();
        }
        let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
        let registry = Registry::builtin();
        Layers { registry: &registry, preset, file: file.map(|_| path.as_path()), settings: &settings }
            .resolve()
    }

    #[test]
    fn later_layers_win() {
        let file =
            "preset = \"gemsdiff-paper\"\n[optim]\nlr = 5e-4\n[train]\nbatch_size = 7\nmax_minutes = 3\n";
        let c = resolve(None, Some(file), &["train.batch_size=9", "data.path=some/where", "model.knn = 12"])
            .unwrap();
        assert_eq!((c.preset.as_str(), c.optim.lr, c.train.batch_size), ("gemsdiff-paper", 5e-4, 9));
        assert_eq!((c.train.max_minutes, c.train.epochs), (Some(3.0), 512));
        assert_eq!(c.data.path, Path::new("some/where"));
        assert_eq!(c.model.settings["knn"], 12);
        assert_eq!(resolve(Some("gemsdiff-released"), Some(file), &[]).unwrap().preset, "gemsdiff-released");
        assert_eq!(resolve(None, None, &[]).unwrap().preset, DEFAULT_PRESET);
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        for (setting, nearest) in [
            ("optim.lrr=1", "optim.lr"),
            ("train.batchsize=1", "train.batch_size"),
            ("batch_size=1", "train.batch_size"),
            ("model.decoder.hiden=1", "model.decoder.hidden"),
            ("optim.lr.x=1", "optim.lr"),
            ("epochs=3", "train.epochs"),
        ] {
            match resolve(None, None, &[setting]) {
                Err(ConfigError::UnknownKey { nearest: found, .. }) => {
                    assert_eq!(found, nearest, "{setting}")
                }
                other => panic!("{setting}: {other:?}"),
            }
        }
    }

    #[test]
    fn wrong_types_name_key_and_value() {
        for (setting, words) in [
            ("optim.lr=fast", ["optim.lr", "fast", "f64"]),
            ("train.batch_size=1.5", ["train.batch_size", "1.5", "usize"]),
            ("train.batch_size=-1", ["train.batch_size", "-1", "usize"]),
            ("optim.schedule=linear", ["optim.schedule", "linear", "cosine"]),
            ("optim=3", ["optim", "3", "struct OptimConfig"]),
            ("data.niggli=\"yes\"", ["data.niggli", "yes", "boolean"]),
            ("model.variant=papr", ["model.variant", "papr", "released"]),
            ("model.kind=nonesuch", ["model.kind", "nonesuch", "gemsdiff"]),
        ] {
            let message = resolve(None, None, &[setting]).unwrap_err().to_string();
            for word in words {
                assert!(message.contains(word), "{setting}: {message}");
            }
        }
    }

    #[test]
    fn broken_files_and_settings_are_refused() {
        let message = resolve(None, Some("[optim\nlr = 1"), &[]).unwrap_err().to_string();
        assert!(message.contains("run.toml") && message.contains("line 1"), "{message}");
        let message = resolve(None, Some("[optim]\n\nlearning_rate = 1"), &[]).unwrap_err().to_string();
        assert!(
            message.contains("run.toml`, line 3") && message.contains("optim.learning_rate"),
            "{message}"
        );
        for text in ["optim.lr", "=3", "optim..lr=3", ""] {
            assert!(matches!(resolve(None, None, &[text]), Err(ConfigError::Setting { .. })), "{text}");
        }
        let message = resolve(Some("gemsdif-small"), None, &[]).unwrap_err().to_string();
        assert!(message.contains("the nearest is `gemsdiff-small`"), "{message}");
        let registry = Registry::builtin();
        let missing = Layers { file: Some(Path::new("no/such.toml")), ..Layers::new(&registry) };
        assert!(matches!(missing.resolve(), Err(ConfigError::File(_))));
    }

    #[test]
    fn another_kind_brings_its_own_keys() {
        let file = "[model]\nlatent = 32\nkind = \"cdvae\"\n[sampling]\nsteps_per_level = 7\n";
        let c = resolve(None, Some(file), &[]).unwrap();
        assert_eq!((c.model.kind.as_str(), &c.model.settings["latent"]), ("cdvae", &32.into()));
        assert_eq!((&c.sampling["steps_per_level"], &c.sampling["step_size"]), (&7.into(), &1e-4.into()));
        assert!(c.model.settings.contains_key("weights") && !c.model.settings.contains_key("knn"));
        let registry = Registry::builtin();
        let set = |text: &str| sampling_settings(&registry, &c, &[text.to_owned()]);
        assert_eq!(set("steps_per_level=3").unwrap()["steps_per_level"], 3);
        assert!(set("steps_per_levl=3").unwrap_err().to_string().contains("`sampling.steps_per_level`"));
        assert!(set("steps_per_level=0").unwrap_err().to_string().contains("at least 1"));
        let gemsdiff = resolve(None, None, &[]).unwrap();
        let message = sampling_settings(&registry, &gemsdiff, &["steps=3".into()]).unwrap_err().to_string();
        assert!(message.contains("gemsdiff model has no settings"), "{message}");
        let message = resolve(None, Some("[model]\nkind = \"gemsdif\""), &[]).unwrap_err().to_string();
        assert!(message.contains("line 2") && message.contains("nearest is `gemsdiff`"), "{message}");
    }
}
