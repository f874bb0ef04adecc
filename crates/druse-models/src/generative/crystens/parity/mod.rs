//! What all reference files of networks of images have in common: lists of tensors, crystals, sums over arrays.

pub(super) mod adversarial;

use std::collections::BTreeMap;

use druse_crystal::formats::{Format, read_str};
use druse_data::crystens::{Codec, Image};
use serde::Deserialize;
use serde_json::Value;

use crate::reference::file::{malformed, read};
use crate::reference::{Beside, ParityError};

/// The file that describes the crystals, beside those of the networks.
const CRYSTALS: &str = "encoding.jsonl.gz";

pub(super) fn format(text: impl Into<String>) -> ParityError {
    ParityError::Format(text.into())
}

/// A tensor whose numbers follow from its name.
#[derive(Deserialize)]
pub(super) struct Listed {
    pub name: String,
    pub shape: Vec<usize>,
    pub base: f64,
    pub amp: f64,
}

/// The tensors that a file lists, by name.
pub(super) fn listed(list: &Value) -> Result<BTreeMap<String, Listed>, ParityError> {
    let listed: Vec<Listed> = read(list)?;
    Ok(listed.into_iter().map(|l| (l.name.clone(), l)).collect())
}

#[derive(Deserialize)]
struct Crystal {
    id: String,
    cif: String,
    sg: u16,
}

/// The crystals in the file beside.
pub(super) struct Crystals(Vec<Crystal>);

impl Crystals {
    pub fn read(beside: Beside<'_>) -> Result<Self, ParityError> {
        let text =
            beside(CRYSTALS).map_err(|e| format(format!("its crystals are those of `{CRYSTALS}`: {e}")))?;
        let lines = text.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str);
        Ok(Self(lines.collect::<Result<_, _>>().map_err(malformed)?))
    }

    /// The image of a crystal by the published normalization.
    pub fn image(&self, id: &str) -> Result<Image, ParityError> {
        let crystal = self.0.iter().find(|crystal| crystal.id == id);
        let crystal = crystal.ok_or_else(|| format(format!("`{CRYSTALS}` has no crystal `{id}`")))?;
        let wrong = |e: &dyn std::fmt::Display| format(format!("crystal `{id}`: {e}"));
        let mut entries = read_str(&crystal.cif, Format::Cif).map_err(|e| wrong(&e))?;
        let entry = entries.pop().ok_or_else(|| wrong(&"its file has no structure"))?;
        Codec::published().encode_as(&entry.structure, crystal.sg).map_err(|e| wrong(&e))
    }
}

/// `Σ x_i sin(0.7 i + 2 (i² mod 1009))`: notices every entry and every transposition.
pub(super) fn weighted_sum(values: &[f64]) -> f64 {
    let term = |(i, x): (u64, &f64)| x * (0.7 * i as f64 + 2.0 * ((i * i) % 1009) as f64).sin();
    (0..).zip(values).map(term).sum()
}

/// Root of the mean square.
pub(super) fn rms(values: &[f64]) -> f64 {
    (values.iter().map(|x| x * x).sum::<f64>() / values.len().max(1) as f64).sqrt()
}
