//! What is sampled.

use std::collections::BTreeMap;

use druse_crystal::Composition;
use druse_models::{Condition, Conditions};
use serde_json::Value;

/// A crystal that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// What the structure has to satisfy.
    pub conditions: Conditions,
    /// What to call it in messages and lists: a formula, a place in latent space.
    pub label: String,
    /// What is written with the structure, besides index and seed.
    pub properties: BTreeMap<String, Value>,
}

impl Target {
    /// Conditions under a name.
    pub fn new(conditions: Conditions, label: impl Into<String>) -> Self {
        Self { conditions, label: label.into(), properties: BTreeMap::new() }
    }

    /// Whatever the model draws.
    pub fn unconditional() -> Self {
        Self::new(Conditions::default(), "unconditional")
    }

    /// With one more property.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.properties.insert(name.to_owned(), value.into());
        self
    }

    /// Feeds what determines the structure to a hash.
    pub(super) fn identify(&self, hash: &mut blake3::Hasher) {
        hash.update(self.label.as_bytes()).update(b"\n");
        let given = &self.conditions;
        if let Some(latent) = &given.latent {
            latent.iter().for_each(|x| _ = hash.update(&x.to_le_bytes()));
        }
        // A composition is its label, and a latent has been fed in full.
        let others = given.kinds().iter().any(|k| !matches!(k, Condition::Composition | Condition::Latent));
        if others {
            let mut rest = given.clone();
            rest.latent = None;
            hash.update(format!("{rest:?}\n").as_bytes());
        }
    }
}

impl From<Composition> for Target {
    fn from(composition: Composition) -> Self {
        let label = composition.formula();
        Self::new(composition.into(), label)
    }
}
