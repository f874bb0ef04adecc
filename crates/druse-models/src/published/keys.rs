//! The tensors of a published checkpoint, each of which has to be accounted for.

use std::collections::{BTreeMap, BTreeSet};

use druse_nn::ParamSpec;
use druse_nn::weights::torch::{TorchFile, TorchTensor};

use super::{Mismatch, PublishedError};

/// Largest extent of a tensor that a size of a model is derived from.
const MAX_EXTENT: usize = 1 << 16;

/// A group of tensors that were left out on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// Why.
    pub reason: &'static str,
    /// Their names.
    pub names: Vec<String>,
}

/// The tensors of a file; what is asked for is crossed off, what differs is noted.
pub(crate) struct Keys<'a> {
    file: &'a TorchFile,
    tensors: BTreeMap<&'a str, &'a TorchTensor>,
    used: BTreeSet<String>,
    ignored: Vec<Ignored>,
    mismatch: Mismatch,
}

/// Sizes of a model, read off the shapes of its tensors.
pub(crate) struct Sizes<'k, 'a>(&'k mut Keys<'a>);

impl<'a> Keys<'a> {
    pub fn new(file: &'a TorchFile) -> Result<Self, PublishedError> {
        let tensors = file.state_dict()?;
        Ok(Self { file, tensors, used: BTreeSet::new(), ignored: Vec::new(), mismatch: Mismatch::default() })
    }

    pub fn sizes(&mut self) -> Sizes<'_, 'a> {
        Sizes(self)
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Notes a constant that is not what the model computes with.
    pub fn differs(&mut self, what: String) {
        self.mismatch.different.push(what);
    }

    /// The numbers of a constant, if the file has it.
    pub fn constant(&mut self, name: &str) -> Result<Option<Vec<f64>>, PublishedError> {
        let Some(tensor) = self.tensors.get(name) else { return Ok(None) };
        self.used.insert(name.to_owned());
        Ok(Some(self.file.numbers(tensor)?))
    }

    /// A constant that has to be there.
    pub fn required_constant(&mut self, name: &str) -> Result<Vec<f64>, PublishedError> {
        let found = self.constant(name)?;
        if found.is_none() {
            self.mismatch.missing.push(name.to_owned());
        }
        Ok(found.unwrap_or_default())
    }

    /// A constant of one number that has to be there; one where it is missing.
    pub fn required_number(&mut self, name: &str) -> Result<f64, PublishedError> {
        let found = self.required_constant(name)?;
        if let (false, &[x]) = (found.is_empty(), found.as_slice()) {
            return Ok(x);
        }
        if !found.is_empty() {
            self.differs(format!("{name} has {} numbers, expected 1", found.len()));
        }
        Ok(1.0)
    }

    /// Leaves out all tensors whose names fulfil a condition.
    pub fn ignore(&mut self, reason: &'static str, condition: impl Fn(&str) -> bool) {
        let open = self.tensors.keys().filter(|name| !self.used.contains(**name) && condition(name));
        let names: Vec<String> = open.map(|name| (*name).to_owned()).collect();
        self.used.extend(names.iter().cloned());
        if !names.is_empty() {
            self.ignored.push(Ignored { reason, names });
        }
    }

    /// The weights of a model in the order of its parameters.
    fn weights(&mut self, specs: &[ParamSpec]) -> Result<Vec<Vec<f32>>, PublishedError> {
        let mut weights = Vec::with_capacity(specs.len());
        for spec in specs {
            let name = &spec.name;
            self.used.insert(name.clone());
            let Some(tensor) = self.tensors.get(name.as_str()) else {
                self.mismatch.missing.push(name.clone());
                continue;
            };
            if tensor.shape != spec.shape {
                let (found, expected) = (&tensor.shape, &spec.shape);
                self.differs(format!("{name} has shape {found:?}, expected {expected:?}"));
                continue;
            }
            let values: Vec<f32> = self.file.numbers(tensor)?.into_iter().map(|x| x as f32).collect();
            if values.iter().any(|x| !x.is_finite()) {
                self.differs(format!("{name} holds a number that is not finite in 32 bits"));
            }
            weights.push(values);
        }
        Ok(weights)
    }

    /// The weights of a model in the order of its parameters, and what was left out on purpose.
    ///
    /// # Errors
    /// [`PublishedError::Mismatch`] with all that is missing, unexpected or different.
    pub fn finish(
        mut self,
        kind: &'static str,
        specs: &[ParamSpec],
    ) -> Result<(Vec<Vec<f32>>, Vec<Ignored>), PublishedError> {
        // Tensors may share storages, but weights of their own take at least a byte each.
        let numbers = specs.iter().fold(0usize, |sum, spec| sum.saturating_add(spec.len()));
        let fits = numbers <= self.file.size();
        if !fits {
            let size = self.file.size();
            self.differs(format!(
                "a model of these sizes has {numbers} numbers, but the file has {size} bytes"
            ));
        }
        let weights = if fits { self.weights(specs)? } else { Vec::new() };
        let unexpected = self.tensors.keys().filter(|name| fits && !self.used.contains(**name));
        self.mismatch.unexpected = unexpected.map(|name| (*name).to_owned()).collect();
        let missing = &mut self.mismatch.missing;
        missing.sort();
        missing.dedup();
        if self.mismatch.is_empty() {
            return Ok((weights, self.ignored));
        }
        let (name, mismatch) = (self.file.name().to_owned(), Box::new(self.mismatch));
        Err(PublishedError::Mismatch { name, kind, mismatch })
    }
}

impl Sizes<'_, '_> {
    /// An extent of a tensor; `default` (with a note) where the tensor is missing or has too few or too large extents.
    pub fn extent(&mut self, name: &str, axis: usize, default: usize) -> usize {
        let Some(tensor) = self.0.tensors.get(name) else {
            self.0.mismatch.missing.push(name.to_owned());
            return default;
        };
        match tensor.shape.get(axis) {
            Some(&extent) if (1..=MAX_EXTENT).contains(&extent) => extent,
            _ => {
                let problem = format!("{name} has shape {:?}, which no layer has", tensor.shape);
                self.0.differs(problem);
                default
            }
        }
    }

    /// How many numbers follow a prefix, as in `blocks.0.weight`, `blocks.1.weight`.
    pub fn count(&self, prefix: &str) -> usize {
        let number = |name: &&str| {
            let rest = name.strip_prefix(prefix)?;
            rest.split('.').next()?.parse::<usize>().ok()
        };
        self.0.tensors.keys().filter_map(number).collect::<BTreeSet<_>>().len()
    }
}
