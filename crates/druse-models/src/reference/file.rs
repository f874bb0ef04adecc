//! Form of the reference files.

use std::collections::BTreeMap;

use burn::tensor::Device;
use druse_crystal::Element;
use druse_nn::{ParamSpec, Params};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ParityError;
use crate::standardizer::Standardizer;

/// A reference file. Configuration and inputs have the form of their network.
#[derive(Deserialize)]
pub(crate) struct File {
    pub config: Value,
    parameters: Vec<FileParameter>,
    /// Tensors that keep their initial value, row-major.
    #[serde(default)]
    constants: BTreeMap<String, Value>,
    pub inputs: Vec<Value>,
    pub outputs: Vec<BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
pub(crate) struct FileParameter {
    name: String,
    shape: Vec<usize>,
    rule: String,
    #[serde(default)]
    base: f64,
    #[serde(default)]
    amp: f64,
    #[serde(default)]
    of: Option<String>,
}

/// The error of JSON that does not have the expected form.
pub(crate) fn malformed(error: serde_json::Error) -> ParityError {
    ParityError::Format(error.to_string())
}

/// Reads a part of a file.
pub(crate) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, ParityError> {
    T::deserialize(value).map_err(malformed)
}

/// The elements with these atomic numbers.
pub(crate) fn elements(atomic_numbers: &[i64]) -> Result<Vec<Element>, ParityError> {
    let elements = atomic_numbers.iter().map(|&z| Element::from_z(z));
    elements.collect::<Result<_, _>>().map_err(|e| ParityError::Format(e.to_string()))
}

impl File {
    pub fn new(value: Value) -> Result<Self, ParityError> {
        let file: Self = read(&value)?;
        let (i, o) = (file.inputs.len(), file.outputs.len());
        if i != o {
            return Err(ParityError::Format(format!("{i} inputs but {o} outputs")));
        }
        Ok(file)
    }

    /// A constant as a flat list; `None` when the file has none of this name.
    pub fn constant(&self, name: &str) -> Option<Vec<f64>> {
        let mut values = Vec::new();
        flatten(self.constants.get(name)?, &mut values);
        Some(values)
    }

    /// The scaler whose mean and deviation are the constants `name_mean` and `name_std`.
    ///
    /// # Errors
    /// [`ParityError::Format`] when they are missing or differ in length from `columns`.
    pub fn standardizer(&self, name: &str, columns: usize) -> Result<Standardizer, ParityError> {
        let numbers = |part: &str| match self.constant(&format!("{name}_{part}")) {
            Some(values) if values.len() == columns => Ok(values),
            _ => Err(ParityError::Format(format!("expected {columns} constants {name}_{part}"))),
        };
        Ok(Standardizer { mean: numbers("mean")?, std: numbers("std")? })
    }

    /// Rows of a listed tensor: the output width of a layer.
    ///
    /// # Errors
    /// [`ParityError::Parameter`] when it is not listed.
    pub fn rows(&self, name: &str) -> Result<usize, ParityError> {
        let listed = self.parameters.iter().find(|p| p.name == name);
        listed
            .and_then(|p| p.shape.first().copied())
            .ok_or_else(|| ParityError::Parameter { name: name.to_owned(), problem: "is not listed".into() })
    }

    /// The tensors of a network as the file gives them.
    ///
    /// # Errors
    /// [`ParityError::Parameter`] when one is not listed or has another shape.
    pub fn fill(&self, specs: &[ParamSpec], device: &Device) -> Result<Params, ParityError> {
        let listed: BTreeMap<&str, &FileParameter> =
            self.parameters.iter().map(|p| (p.name.as_str(), p)).collect();
        let values = specs.iter().map(|spec| {
            let wrong = |problem: String| ParityError::Parameter { name: spec.name.clone(), problem };
            let Some(mut entry) = listed.get(spec.name.as_str()).copied() else {
                let constant = self.constant(&spec.name).ok_or_else(|| wrong("is not listed".into()))?;
                if constant.len() != spec.len() {
                    let (found, expected) = (constant.len(), spec.len());
                    return Err(wrong(format!("has {found} numbers, expected {expected}")));
                }
                return Ok(constant.into_iter().map(|x| x as f32).collect());
            };
            if entry.shape != spec.shape {
                return Err(wrong(format!("has shape {:?}, expected {:?}", entry.shape, spec.shape)));
            }
            if entry.rule == "alias" {
                let target = entry.of.as_deref().unwrap_or_default();
                entry =
                    listed.get(target).ok_or_else(|| wrong(format!("is an alias of unlisted `{target}`")))?;
            }
            Ok(formula(&entry.name, spec.len(), entry.base, entry.amp))
        });
        let values = values.collect::<Result<Vec<_>, ParityError>>()?;
        Ok(Params::from_host(specs, &values, device))
    }
}

/// Appends all numbers below `value`; what is no number becomes NaN.
pub(crate) fn flatten(value: &Value, out: &mut Vec<f64>) {
    match value {
        Value::Array(items) => items.iter().for_each(|v| flatten(v, out)),
        other => out.push(other.as_f64().unwrap_or(f64::NAN)),
    }
}

/// The six digits of 2π that the formula of the files is written with.
#[allow(clippy::approx_constant, reason = "the rounded number is part of the formula")]
const ROUNDED_TURN: f64 = 6.28318;

/// `base + amp · sin(0.7 i + 2 (i² mod 1009) + h)`, with h from the bytes of the name.
pub(crate) fn formula(name: &str, len: usize, base: f64, amp: f64) -> Vec<f32> {
    exact_formula(name, len, base, amp).into_iter().map(|x| x as f32).collect()
}

/// [`formula`] in double precision.
pub(crate) fn exact_formula(name: &str, len: usize, base: f64, amp: f64) -> Vec<f64> {
    let sum: u64 = name.bytes().zip(1u64..).map(|(b, k)| u64::from(b) * k).sum();
    let h = (sum % 1000) as f64 / 1000.0 * ROUNDED_TURN;
    (0..len as u64).map(|i| base + amp * (0.7 * i as f64 + 2.0 * ((i * i) % 1009) as f64 + h).sin()).collect()
}

#[cfg(test)]
mod tests {
    use druse_nn::Init;

    use super::*;
    use druse_nn::Role;

    #[test]
    fn formula_gives_the_documented_examples() {
        let amp = 1.0 / 384f64.sqrt();
        let w = formula("encoder.emb.lin.weight", 1001, 0.0, amp);
        assert!((f64::from(w[0]) + 0.0403225710501).abs() < 1e-8);
        assert!((f64::from(w[1000]) - 0.0147169156873).abs() < 1e-8);
        let b = formula("fc_mu.bias", 8, 0.0, 0.1);
        assert!((f64::from(b[7]) + 0.0934231986361).abs() < 1e-8);
    }

    #[test]
    fn tensors_come_from_the_formula_or_the_constants() {
        let file = File::new(serde_json::json!({
            "config": {}, "inputs": [], "outputs": [],
            "parameters": [{"name": "w", "shape": [2, 3], "rule": "weight", "base": 1.0, "amp": 0.0}],
            "constants": {"c": [[1.0], [2.0]]},
        }))
        .unwrap();
        let fill = |name: &str, shape: &[usize]| {
            let spec = ParamSpec {
                name: name.into(),
                shape: shape.into(),
                init: Init::Zeros,
                role: Role::default(),
            };
            file.fill(&[spec], &druse_nn::device::cpu()).map(|p| p.to_host().remove(0))
        };
        assert_eq!(fill("w", &[2, 3]).unwrap(), vec![1.0; 6]);
        assert_eq!(fill("c", &[2]).unwrap(), vec![1.0, 2.0]);
        for (name, shape) in [("w", vec![3, 2]), ("c", vec![3]), ("x", vec![1])] {
            assert!(matches!(fill(name, &shape), Err(ParityError::Parameter { .. })));
        }
    }
}
