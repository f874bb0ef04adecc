//! Layers of a configuration: preset, then file, then single settings.

use std::path::{Path, PathBuf};

use druse_crystal::files::{self, FileError};
use serde_json::{Map, Value};

use crate::config::{RunConfig, Violation};

/// Why a configuration could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such preset.
    #[error("unknown preset `{name}`: expected one of {}", known.join(", "))]
    UnknownPreset {
        /// What was asked for.
        name: String,
        /// Names of the presets.
        known: Vec<&'static str>,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is no TOML.
    #[error("`{}` is not valid TOML: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The parser's message with line and column.
        reason: String,
    },
    /// A key does not exist.
    #[error("{origin}: unknown key `{key}`; the nearest valid key is `{nearest}`")]
    UnknownKey {
        /// File or option.
        origin: String,
        /// Dotted key.
        key: String,
        /// The most similar key.
        nearest: String,
    },
    /// A value has the wrong type or is none of the allowed words.
    #[error("{origin}: `{key}` {reason}")]
    WrongType {
        /// File or option.
        origin: String,
        /// Dotted key.
        key: String,
        /// What was expected and what came.
        reason: String,
    },
    /// A setting is not of the form `key=value`.
    #[error("`--set {text}`: expected key=value, such as optim.lr=0.0005")]
    Setting {
        /// The text.
        text: String,
    },
    /// The result is not allowed.
    #[error(transparent)]
    Violation(#[from] Violation),
}

/// Where the layers of a configuration come from.
#[derive(Debug, Clone, Default)]
pub struct Layers<'a> {
    /// Preset; `None`: the one the file names, or the default.
    pub preset: Option<&'a str>,
    /// TOML file.
    pub file: Option<&'a Path>,
    /// `key=value` settings, later ones win.
    pub settings: &'a [String],
}

impl Layers<'_> {
    /// Puts the layers together. Values are not validated yet, so that a caller can fill in the data path.
    ///
    /// # Errors
    /// [`ConfigError`] naming file or option, key and what was expected.
    pub fn resolve(&self) -> Result<RunConfig, ConfigError> {
        let table = self.file.map(read_table).transpose()?;
        let named = table.as_ref().and_then(|t| t.get("preset")).and_then(Value::as_str).map(str::to_owned);
        let name = self.preset.map(str::to_owned).or(named).unwrap_or(RunConfig::DEFAULT_PRESET.into());
        let base = RunConfig::preset(&name).ok_or_else(|| ConfigError::UnknownPreset {
            name: name.clone(),
            known: RunConfig::PRESETS.map(|(n, _)| n).to_vec(),
        })?;
        let mut target = Target::new(&base);
        if let (Some(mut table), Some(file)) = (table, self.file) {
            // The name given on the command line decides; the file's was looked at above.
            table.remove("preset");
            target.apply(&file.display().to_string(), "", Value::Object(table))?;
        }
        for text in self.settings {
            let (key, value) = parse_setting(text)?;
            target.apply("--set", &key, value)?;
        }
        Ok(target.config)
    }
}

fn read_table(path: &Path) -> Result<Map<String, Value>, ConfigError> {
    let text = files::read_to_string(path)?;
    toml::from_str(&text).map_err(|e| ConfigError::Syntax {
        path: path.to_owned(),
        reason: e.to_string().trim_end().to_owned(),
    })
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
struct Target {
    config: RunConfig,
    tree: Value,
}

impl Target {
    fn new(base: &RunConfig) -> Self {
        let tree = serde_json::to_value(base).expect("a configuration is representable as JSON");
        Self { config: base.clone(), tree }
    }

    /// Sets a value, leaf by leaf, so that an error belongs to one key.
    fn apply(&mut self, origin: &str, key: &str, value: Value) -> Result<(), ConfigError> {
        let pointer = |key: &str| match key {
            "" => String::new(),
            key => format!("/{}", key.replace('.', "/")),
        };
        let Some(current) = self.tree.pointer(&pointer(key)) else {
            return Err(self.unknown(origin, key));
        };
        if let (Value::Object(_), Value::Object(table)) = (current, &value) {
            for (name, inner) in table.clone() {
                let path = if key.is_empty() { name } else { format!("{key}.{name}") };
                self.apply(origin, &path, inner)?;
            }
            return Ok(());
        }
        let shown = value.to_string();
        let mut tree = self.tree.clone();
        *tree.pointer_mut(&pointer(key)).expect("the key was found above") = value;
        match serde_json::from_value::<RunConfig>(tree.clone()) {
            Ok(config) => {
                self.config = config;
                self.tree = tree;
                Ok(())
            }
            Err(e) => {
                let reason = format!("= {shown}: {e}");
                Err(ConfigError::WrongType { origin: origin.into(), key: key.into(), reason })
            }
        }
    }

    fn unknown(&self, origin: &str, key: &str) -> ConfigError {
        let mut keys = Vec::new();
        collect_keys(&self.tree, "", &mut keys);
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
        ConfigError::UnknownKey { origin: origin.into(), key: key.into(), nearest }
    }
}

fn collect_keys(tree: &Value, prefix: &str, keys: &mut Vec<String>) {
    let Value::Object(table) = tree else { return };
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        collect_keys(value, &key, keys);
        keys.push(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelConfig;

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
        Layers { preset, file: file.map(|_| path.as_path()), settings: &settings }.resolve()
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
        let ModelConfig::GemsDiff(m) = c.model else { panic!("a GemsDiff preset") };
        assert_eq!(m.knn, 12);
        assert_eq!(resolve(Some("gemsdiff-released"), Some(file), &[]).unwrap().preset, "gemsdiff-released");
        assert_eq!(resolve(None, None, &[]).unwrap().preset, RunConfig::DEFAULT_PRESET);
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
            ("model.kind=crystens", ["model.kind", "crystens", "gemsdiff"]),
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
        let message = resolve(None, Some("[optim]\nlearning_rate = 1"), &[]).unwrap_err().to_string();
        assert!(message.contains("run.toml") && message.contains("optim.learning_rate"), "{message}");
        for text in ["optim.lr", "=3", "optim..lr=3", ""] {
            assert!(matches!(resolve(None, None, &[text]), Err(ConfigError::Setting { .. })), "{text}");
        }
        assert!(matches!(resolve(Some("big"), None, &[]), Err(ConfigError::UnknownPreset { .. })));
        let missing = Layers { file: Some(Path::new("no/such.toml")), ..Layers::default() };
        assert!(matches!(missing.resolve(), Err(ConfigError::File(_))));
    }
}
