//! What all ranks of a training must have in common.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::message::PROTOCOL;
use crate::config::RunConfig;
use crate::error::RankError;

/// Keys of the configuration that may differ: where a machine has its files, and what it computes with.
const OF_THE_MACHINE: [(&str, &str); 4] =
    [("data", "path"), ("train", "device"), ("train", "threads"), ("train", "init")];

/// What a rank says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    version: String,
    protocol: u32,
    world: usize,
    /// The configuration as JSON, without what may differ.
    config: String,
    /// Instructions of its processor.
    instructions: String,
}

impl Identity {
    pub(super) fn new(world: usize, config: &RunConfig) -> Self {
        let mut value = serde_json::to_value(config).expect("a configuration is representable as JSON");
        for (table, key) in OF_THE_MACHINE {
            if let Some(table) = value.get_mut(table).and_then(Value::as_object_mut) {
                table.remove(key);
            }
        }
        if let Some(all) = value.as_object_mut() {
            // A name for values that are compared themselves.
            all.remove("preset");
        }
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            world,
            config: value.to_string(),
            instructions: druse_nn::arch::instructions(),
        }
    }

    /// Says where the numbers depend on which rank computes what.
    pub(super) fn note_instructions(&self, rank: usize, other: &Self, note: &mut dyn FnMut(&str)) {
        let (theirs, ours) = (&other.instructions, &self.instructions);
        if theirs != ours {
            note(&format!(
                "rank {rank} computes with {theirs}, rank 0 with {ours}: the numbers depend on which of them computes what"
            ));
        }
    }

    /// Refuses a rank that would train something else than this one.
    ///
    /// # Errors
    /// [`RankError::Differs`] with the first difference.
    pub(super) fn accept(&self, rank: usize, other: &Self) -> Result<(), RankError> {
        let differs = |what: &str, theirs: String, ours: String| {
            Err(RankError::Differs { rank, what: what.to_owned(), theirs, ours })
        };
        if self.version != other.version {
            return differs("the version of druse", other.version.clone(), self.version.clone());
        }
        if self.protocol != other.protocol {
            return differs("the protocol", other.protocol.to_string(), self.protocol.to_string());
        }
        if self.world != other.world {
            return differs("the number of ranks", other.world.to_string(), self.world.to_string());
        }
        let parsed = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
        match difference("", &parsed(&self.config), &parsed(&other.config)) {
            Some((what, ours, theirs)) => differs(&what, theirs, ours),
            None => Ok(()),
        }
    }
}

/// The first key, in the order of the alphabet, whose values differ.
fn difference(at: &str, ours: &Value, theirs: &Value) -> Option<(String, String, String)> {
    if let (Value::Object(a), Value::Object(b)) = (ours, theirs) {
        let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let value =
            |of: &serde_json::Map<String, Value>, key: &str| of.get(key).cloned().unwrap_or(Value::Null);
        return keys.into_iter().find_map(|key| {
            let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            difference(&path, &value(a, key), &value(b, key))
        });
    }
    (ours != theirs).then(|| (at.to_owned(), ours.to_string(), theirs.to_string()))
}

#[cfg(test)]
mod tests {
    use druse_models::Registry;

    use super::*;

    #[test]
    fn differences_are_named() {
        let config = || RunConfig::preset(&Registry::builtin(), "gemsdiff-small").unwrap();
        let own = Identity::new(2, &config());
        let mut other = config();
        other.data.path = "elsewhere".into();
        other.train.device = "cuda:1".into();
        other.train.threads = 7;
        assert!(own.accept(1, &Identity::new(2, &other)).is_ok());
        other.train.seed = 5;
        let error = own.accept(1, &Identity::new(2, &other)).unwrap_err().to_string();
        assert!(error.starts_with("rank 1 has train.seed = 5, rank 0 has 0"), "{error}");
        let mut other = config();
        other.model.settings.insert("steps".into(), 3.into());
        let error = own.accept(1, &Identity::new(2, &other)).unwrap_err().to_string();
        assert!(error.contains("steps = 3"), "{error}");
        let error = own.accept(1, &Identity::new(3, &config())).unwrap_err().to_string();
        assert!(error.contains("the number of ranks = 3, rank 0 has 2"), "{error}");
        let older = Identity { version: "0.0.9".into(), ..Identity::new(2, &config()) };
        let error = own.accept(1, &older).unwrap_err().to_string();
        assert!(error.contains("the version of druse = 0.0.9"), "{error}");
    }
}
