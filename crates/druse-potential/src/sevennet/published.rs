//! Checkpoints of the published code.
//!
//! Radial weights lie in another order there (paths by the degree of the features, then of the harmonics, then of the
//! message), and some paths have 3j coefficients of the opposite sign; the checkpoint holds its coefficients, so that
//! signs are compared, not assumed. Everything else is taken as it is.

use std::collections::BTreeMap;

use druse_crystal::Element;
use druse_nn::weights::WeightFile;
use druse_nn::weights::torch::{TorchError, TorchFile, TorchTensor};
use serde_json::Value;

use super::config::{Config, Path};
use super::coupling::coefficients;
use super::weights::{Weights, names, tensors};
use crate::basis::CutoffFunction;
use crate::files::LoadError;

/// The factor of the published activation x · sigmoid(x): (E\[f(z)²\])^(-1/2) over standard normal z, as a seeded sample of
/// a million numbers gave it. It belongs to the published networks and is not in their files.
pub const SILU_SCALE: f64 = 1.679_176_792_398_941_8;

/// Why a checkpoint does not make a potential.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] TorchError),
    /// The checkpoint is of another network than this crate has, or of another program.
    #[error("{name} is no checkpoint of SevenNet that can be read: {problem}")]
    Content {
        /// The file.
        name: String,
        /// What is different.
        problem: String,
    },
    /// Its tensors do not fit its settings.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Entry of a checkpoint that holds the weights, and of that with the settings.
const STATE: &str = "model_state_dict";
const SETTINGS: &str = "config";

/// Whether a file of PyTorch has the entries of a published checkpoint.
pub fn is_checkpoint(file: &TorchFile) -> bool {
    file.dictionary(STATE).is_ok() && file.plain(SETTINGS).is_some()
}

/// Reads a checkpoint of the published code (sevenn 0.9, which wrote SevenNet-0 and SevenNet-l3i5); `name` is what users
/// will call the potential.
///
/// # Errors
/// [`ImportError`] when the checkpoint is of another kind of network, or its tensors do not fit its settings.
pub fn import(file: &TorchFile, name: &str) -> Result<Weights, ImportError> {
    let content = |problem: String| ImportError::Content { name: file.name().to_owned(), problem };
    let state = file.dictionary(STATE)?;
    let settings = file.plain(SETTINGS).ok_or_else(|| content(format!("it has no `{SETTINGS}`")))?;
    let config = config(&settings, &state, name).map_err(content)?;
    config.validate().map_err(content)?;
    let read = |tensor: &str| {
        let found = state.get(tensor).ok_or_else(|| content(format!("it has no tensor `{tensor}`")))?;
        Ok::<_, ImportError>(file.numbers(found)?)
    };
    let mut weights = WeightFile { name: file.name().to_owned(), ..WeightFile::default() };
    weights.metadata.insert("source".into(), base_name(file.name()));
    for (tensor, len) in tensors(&config) {
        let values = read(&tensor)?;
        if values.len() != len {
            return Err(content(format!("tensor `{tensor}` has {} numbers, expected {len}", values.len())));
        }
        weights.tensors.insert(tensor, (vec![len], values.iter().map(|&x| x as f32).collect()));
    }
    for t in 0..config.blocks {
        let order = Order::new(&config, t, read).map_err(|e| match e {
            OrderError::Read(e) => e,
            OrderError::Sign(problem) => content(problem),
        })?;
        if let Some((_, values)) = weights.tensors.get_mut(&names::radial(t, 2)) {
            *values = order.sorted(values);
        }
    }
    Ok(Weights::new(config, weights)?)
}

fn base_name(path: &str) -> String {
    path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned()
}

/// The sizes of the published settings, or what they have that this crate has not.
fn config(settings: &Value, state: &BTreeMap<&str, &TorchTensor>, name: &str) -> Result<Config, String> {
    let expected = [
        ("is_parity", Value::from(false)),
        ("_normalize_sph", Value::from(true)),
        ("interaction_type", Value::from("nequip")),
        ("self_connection_type", Value::from("linear")),
        ("act_radial", Value::from("silu")),
        ("readout_as_fcn", Value::from(false)),
        ("use_bias_in_linear", Value::from(false)),
        ("use_modality", Value::from(false)),
    ];
    for (key, wanted) in expected {
        let found = &settings[key];
        if !found.is_null() && *found != wanted {
            return Err(format!("its setting {key} is {found}, expected {wanted}"));
        }
    }
    for key in ["act_gate", "act_scalar"] {
        if settings[key]["e"] != "silu" {
            return Err(format!("its setting {key} is {}, expected silu", settings[key]));
        }
    }
    let version = settings["version"].as_str().unwrap_or("unknown");
    if !version.starts_with("0.9.") {
        return Err(format!(
            "it was written by version {version} of the published code; those of 0.9 can be read"
        ));
    }
    let number = |value: &Value, what: &str| value.as_f64().ok_or(format!("its {what} is {value}"));
    let size = |value: &Value, what: &str| {
        value.as_u64().and_then(|n| usize::try_from(n).ok()).ok_or(format!("its {what} is {value}"))
    };
    let cutoff_function = &settings["cutoff_function"];
    let cutoff_function = match cutoff_function["cutoff_function_name"].as_str() {
        Some("XPLOR") => CutoffFunction::Xplor { on: number(&cutoff_function["cutoff_on"], "cutoff_on")? },
        Some("poly_cut") => {
            let p = number(&cutoff_function["poly_cut_p_value"], "poly_cut_p_value")?;
            CutoffFunction::Polynomial { p: p as u32 }
        }
        _ => return Err(format!("its cutoff function is {cutoff_function}")),
    };
    let basis = &settings["radial_basis"];
    if basis["radial_basis_name"] != "bessel" {
        return Err(format!("its radial functions are {basis}, expected bessel"));
    }
    let hidden = &settings["weight_nn_hidden_neurons"];
    let radial_width = size(&hidden[0], "width of radial networks")?;
    if hidden.as_array().is_none_or(|widths| widths.len() != 2 || widths[0] != widths[1]) {
        return Err(format!("its radial networks have hidden layers {hidden}, expected two equal ones"));
    }
    let blocks = size(&settings["num_convolution_layer"], "number of blocks")?;
    let features = settings["irreps_manual"].as_array().cloned().unwrap_or_default();
    let inner = features.get(1..features.len().saturating_sub(1)).unwrap_or_default();
    let same = inner.iter().all(|f| *f == inner[0]);
    let channels = inner.first().filter(|_| same && features.len() == blocks + 1);
    let channels = channels.and_then(|f| channels_of(f.as_str()?));
    let channels = channels.ok_or_else(|| {
        format!(
            "its features are {}, expected equal ones of even parity between blocks",
            settings["irreps_manual"]
        )
    })?;
    let ends = Value::from(format!("{}x0e", channels[0]));
    if features[0] != ends || features[blocks] != ends {
        return Err(format!(
            "its first and last features are {} and {}, expected {ends}",
            features[0], features[blocks]
        ));
    }
    let readout_width = state.get(names::TO_ENERGY).map(|t| t.len());
    let readout_width = readout_width.ok_or(format!("it has no tensor `{}`", names::TO_ENERGY))?;
    let elements: Vec<Element> = serde_json::from_value(settings["chemical_species"].clone())
        .map_err(|e| format!("its elements: {e}"))?;
    Ok(Config {
        name: name.to_owned(),
        elements,
        cutoff: number(&settings["cutoff"], "cutoff")?,
        cutoff_function,
        radial_functions: size(&basis["bessel_basis_num"], "number of radial functions")?,
        radial_width,
        channels,
        blocks,
        readout_width,
        silu_scale: SILU_SCALE,
    })
}

/// Channels by degree of `128x0e+64x1e+32x2e`.
fn channels_of(features: &str) -> Option<Vec<usize>> {
    let part = |(l, part): (usize, &str)| part.strip_suffix(&format!("x{l}e"))?.parse().ok();
    features.split('+').enumerate().map(part).collect()
}

/// Where the radial weights of each path lie in a published tensor, in this crate's order, and whether their sign is the
/// other one.
struct Order {
    paths: Vec<(Path, usize, bool)>,
    columns: usize,
}

enum OrderError {
    Read(ImportError),
    Sign(String),
}

impl Order {
    fn new(
        config: &Config,
        t: usize,
        read: impl Fn(&str) -> Result<Vec<f64>, ImportError>,
    ) -> Result<Self, OrderError> {
        let paths = config.paths(t);
        let mut generated = paths.list.clone();
        generated.sort_by_key(|p| (p.l1, p.l2, p.l3));
        let mut ordered = Vec::new();
        for path in &paths.list {
            let before = generated.iter().take_while(|p| *p != path);
            let begin = before.map(|p| p.channels).sum();
            let degrees = [path.l1, path.l2, path.l3];
            // Those with a scalar are equal everywhere and not stored.
            let negative = match degrees.contains(&0) {
                true => false,
                false => {
                    let [a, b, c] = degrees;
                    let name =
                        format!("{t}_convolution.convolution._compiled_main_left_right._w3j_{a}_{b}_{c}");
                    let stored = read(&name).map_err(OrderError::Read)?;
                    opposite(degrees, &stored)
                        .ok_or_else(|| OrderError::Sign(format!("`{name}` are no 3j coefficients")))?
                }
            };
            ordered.push((*path, begin, negative));
        }
        Ok(Self { paths: ordered, columns: paths.weights })
    }

    /// Rows of weights in this crate's order and signs.
    fn sorted(&self, values: &[f32]) -> Vec<f32> {
        let mut sorted = Vec::with_capacity(values.len());
        for row in values.chunks_exact(self.columns) {
            for &(path, begin, negative) in &self.paths {
                let own = &row[begin..begin + path.channels];
                sorted.extend(own.iter().map(|&w| if negative { -w } else { w }));
            }
        }
        sorted
    }
}

/// Whether stored coefficients are minus those of this crate; `None` when they are neither.
fn opposite(degrees: [usize; 3], stored: &[f64]) -> Option<bool> {
    let [rows, columns] = [2 * degrees[1] + 1, 2 * degrees[2] + 1];
    let mut wanted = vec![0.0; (2 * degrees[0] + 1) * rows * columns];
    for ([i, j, k], value) in coefficients(degrees) {
        wanted[(i * rows + j) * columns + k] = value;
    }
    let equal = |sign: f64| {
        stored.len() == wanted.len() && stored.iter().zip(&wanted).all(|(s, w)| (s - sign * w).abs() < 1e-6)
    };
    [(1.0, false), (-1.0, true)].into_iter().find(|&(sign, _)| equal(sign)).map(|(_, negative)| negative)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sevennet::config::tests::published;

    #[test]
    fn features_are_read() {
        assert_eq!(channels_of("128x0e+64x1e+32x2e"), Some(vec![128, 64, 32]));
        assert_eq!(channels_of("128x0e"), Some(vec![128]));
        for other in ["", "128x0e+64x1o", "128x1e", "128x0e+64x2e", "ax0e"] {
            assert_eq!(channels_of(other), None, "{other}");
        }
    }

    #[test]
    fn columns_are_sorted_and_signs_compared() {
        let config = published(&[64, 32]);
        // Paths as generated: 000 011 101 110 111; the coefficients of 111 have the other sign.
        let mut stored = vec![0.0; 27];
        for ([i, j, k], value) in coefficients([1, 1, 1]) {
            stored[(i * 3 + j) * 3 + k] = -value;
        }
        let Ok(order) = Order::new(&config, 1, |_| Ok(stored.clone())) else { panic!("no order") };
        let widths = [(1.0, 64), (2.0, 64), (3.0, 32), (4.0, 32), (5.0, 32)];
        let row: Vec<f32> = widths.iter().flat_map(|&(value, n)| vec![value; n]).collect();
        let mut sorted = order.sorted(&row);
        sorted.dedup();
        // 000 110 | 011 101 111.
        assert_eq!(sorted, [1.0, 4.0, 2.0, 3.0, -5.0]);
        assert_eq!(opposite([1, 1, 1], &[0.5; 27]), None);
    }
}
