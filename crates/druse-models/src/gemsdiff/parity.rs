//! Comparison with reference evaluations of the published network.
//!
//! A reference file lists the tensors of the network with a formula for their values, input crystals, and what the
//! published implementation computed for them in double precision. The network is built from the file's
//! configuration, filled by the formula and evaluated; every listed output is compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use druse_crystal::{Element, Lattice, wrap_unit};
use druse_nn::Params;
use druse_nn::graph::{Angles, Multigraph, TripletFields};
use serde::Deserialize;
use serde_json::Value;

use super::network::Trace;
use super::{GemsDiff, GemsDiffConfig, GemsNetConfig, GeometryInput, PositionLoss, Variant};
use crate::{Generator, ModelError};

/// Why a reference file could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum ParityError {
    /// The text is no reference file.
    #[error("not a parity file: {0}")]
    Format(String),
    /// The file describes a network that this program does not have.
    #[error("network `{0}` is not available; available: gemsdiff")]
    Network(String),
    /// A tensor of the network is not listed, or has another shape.
    #[error("parameter `{name}`: {problem}")]
    Parameter {
        /// Name of the tensor.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The network cannot be built or evaluated.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Largest difference found in one output over all crystals.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputDifference {
    /// Name of the output in the file.
    pub name: String,
    /// `max |difference| / max |reference|`, per crystal, the largest one; infinite when sizes or integers differ.
    pub relative: f64,
    /// Number of values compared.
    pub values: usize,
}

/// Result of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct ParityReport {
    /// One entry for each output.
    pub outputs: Vec<OutputDifference>,
    /// Outputs listed in the file that have no counterpart here.
    pub skipped: Vec<String>,
    /// Number of input crystals.
    pub crystals: usize,
}

impl ParityReport {
    /// The largest relative difference of all outputs.
    pub fn worst(&self) -> f64 {
        self.outputs.iter().map(|o| o.relative).fold(0.0, f64::max)
    }
}

#[derive(Deserialize)]
struct File {
    network: String,
    config: FileConfig,
    parameters: Vec<FileParameter>,
    inputs: Vec<FileInput>,
    outputs: Vec<BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
struct FileConfig {
    variant: String,
    blocks: usize,
    knn: usize,
    hidden: usize,
    triplet: usize,
    rbf: usize,
    cbf: usize,
    bilinear: usize,
    num_spherical: usize,
    num_radial: usize,
    cutoff: f64,
}

#[derive(Deserialize)]
struct FileParameter {
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

#[derive(Deserialize)]
struct FileInput {
    atomic_numbers: Vec<i64>,
    frac_coords: Vec<[f64; 3]>,
}

/// The six digits of 2π that the formula of the files is written with.
#[allow(clippy::approx_constant, reason = "the rounded number is part of the formula")]
const ROUNDED_TURN: f64 = 6.28318;

/// `base + amp · sin(0.7 i + 2 (i² mod 1009) + h)`, with h from the bytes of the name.
fn formula(name: &str, len: usize, base: f64, amp: f64) -> Vec<f32> {
    let sum: u64 = name.bytes().zip(1u64..).map(|(b, k)| u64::from(b) * k).sum();
    let h = (sum % 1000) as f64 / 1000.0 * ROUNDED_TURN;
    (0..len as u64)
        .map(|i| (base + amp * (0.7 * i as f64 + 2.0 * ((i * i) % 1009) as f64 + h).sin()) as f32)
        .collect()
}

/// Evaluates a reference file (its JSON text) on a device.
///
/// # Errors
/// [`ParityError`] when the text is no reference file or the network cannot be built from it.
pub fn compare(text: &str, device: &Device) -> Result<ParityReport, ParityError> {
    let head: Value = serde_json::from_str(text).map_err(|e| ParityError::Format(e.to_string()))?;
    match head.get("network").and_then(Value::as_str) {
        Some("gemsdiff") => {}
        Some(other) => return Err(ParityError::Network(other.to_owned())),
        None => return Err(ParityError::Format("it names no `network`".into())),
    }
    let file: File = serde_json::from_value(head).map_err(|e| ParityError::Format(e.to_string()))?;
    debug_assert_eq!(file.network, "gemsdiff");
    if file.config.variant != "R" || file.config.rbf != file.config.cbf {
        return Err(ParityError::Format("expected variant R with projections of equal width".into()));
    }
    if file.inputs.len() != file.outputs.len() {
        let (i, o) = (file.inputs.len(), file.outputs.len());
        return Err(ParityError::Format(format!("{i} inputs but {o} outputs")));
    }
    let (model, params) = build(&file, device)?;
    let mut report = ParityReport { outputs: Vec::new(), skipped: Vec::new(), crystals: file.inputs.len() };
    for (input, reference) in file.inputs.iter().zip(&file.outputs) {
        let ours = evaluate(&model, &params, input)?;
        for (name, value) in reference {
            match ours.get(name.as_str()) {
                None if !report.skipped.contains(name) => report.skipped.push(name.clone()),
                None => {}
                Some(values) => record(&mut report.outputs, name, values, value),
            }
        }
    }
    Ok(report)
}

fn build(file: &File, device: &Device) -> Result<(GemsDiff, Params), ParityError> {
    let c = &file.config;
    let network = GemsNetConfig {
        hidden: c.hidden,
        triplet: c.triplet,
        basis: c.rbf,
        bilinear: c.bilinear,
        num_radial: c.num_radial,
        num_spherical: c.num_spherical,
        blocks: c.blocks,
        cutoff: c.cutoff,
        ..GemsNetConfig::default()
    };
    let model = GemsDiff::new(GemsDiffConfig {
        variant: Variant::Released,
        decoder: network,
        knn: c.knn,
        position_loss: PositionLoss::CartesianL1,
        ..GemsDiffConfig::default()
    })?;
    let listed: BTreeMap<&str, &FileParameter> =
        file.parameters.iter().map(|p| (p.name.as_str(), p)).collect();
    let values = model
        .parameters()
        .iter()
        .map(|spec| {
            let wrong = |problem: String| ParityError::Parameter { name: spec.name.clone(), problem };
            let mut entry = *listed.get(spec.name.as_str()).ok_or_else(|| wrong("is not listed".into()))?;
            if entry.shape != spec.shape {
                return Err(wrong(format!("has shape {:?}, expected {:?}", entry.shape, spec.shape)));
            }
            if entry.rule == "alias" {
                let target = entry.of.as_deref().unwrap_or_default();
                entry =
                    listed.get(target).ok_or_else(|| wrong(format!("is an alias of unlisted `{target}`")))?;
            }
            Ok(formula(&entry.name, spec.len(), entry.base, entry.amp))
        })
        .collect::<Result<Vec<_>, ParityError>>()?;
    let params = Params::from_host(model.parameters(), &values, device);
    Ok((model, params))
}

fn host(t: &Tensor<2>) -> Vec<f64> {
    let values = t.to_data().try_into_vec::<f32>().expect("outputs are 32-bit floats");
    values.into_iter().map(f64::from).collect()
}

fn numbers(values: impl IntoIterator<Item = u32>) -> Vec<f64> {
    values.into_iter().map(f64::from).collect()
}

fn full_matrix(s: &[f64]) -> Vec<f64> {
    vec![s[0], s[3], s[4], s[3], s[1], s[5], s[4], s[5], s[2]]
}

/// All outputs of one crystal, flat, by their name in the file.
fn evaluate(
    model: &GemsDiff,
    params: &Params,
    input: &FileInput,
) -> Result<BTreeMap<&'static str, Vec<f64>>, ParityError> {
    let species = input
        .atomic_numbers
        .iter()
        .map(|&z| Element::from_z(z))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| ParityError::Format(e.to_string()))?;
    if species.len() != input.frac_coords.len() {
        return Err(ParityError::Format("atomic numbers and coordinates differ in number".into()));
    }
    model.check_species(&species)?;
    let cube = Lattice::cubic(1.0).expect("the unit cube is a lattice");
    let config = model.decoder.config();
    let geometry =
        GeometryInput::new(config, &[(cube, input.frac_coords.as_slice())], model.config.knn, true);
    let graph: Arc<Multigraph> = geometry.graph().clone();
    let mut trace = Trace::default();
    let h = model.embedding.forward(params, &species);
    let prediction = model.decoder.forward_traced(params, &geometry, h, Some(&mut trace));

    let first = |t: &Option<Tensor<2>>, rows: usize| {
        t.as_ref().map(|t| host(&t.clone().narrow(0, 0, rows.min(t.dims()[0])))).unwrap_or_default()
    };
    let columns = 41.min(config.num_radial);
    let rbf = geometry.basis.evaluate(&geometry.graph().lengths);
    let rbf = rbf.chunks(config.num_radial).take(5).flat_map(|r| &r[..columns]);
    let (ps, qs) = graph.triplets();
    let pairs: Vec<[u32; 2]> = ps.iter().zip(&qs).take(5).map(|(&p, &q)| [p, q]).collect();
    let angular = pair_angles(&graph, &geometry.geometry.angles, &pairs);
    let scalars: Vec<Tensor<2>> = (0..=config.blocks)
        .map(|i| model.decoder.pair_scalars(params, i, &trace, &angular, &pairs))
        .collect();
    let total = scalars.iter().skip(1).fold(scalars[0].clone(), |sum, s| sum + s.clone());
    let fields = geometry.fields.as_ref().expect("the geometry was built with vector fields");
    let displacement = host(&prediction.displacement);
    let clean =
        input.frac_coords.iter().flatten().zip(&displacement).map(|(x, d)| wrap_unit(x + d)).collect();
    let cell = host(&prediction.cell);
    let mut deviation = cell.clone();
    deviation[..3].iter_mut().for_each(|x| *x -= 1.0);

    Ok(BTreeMap::from([
        ("num_edges", vec![graph.num_edges() as f64]),
        ("num_triplets", vec![ps.len() as f64]),
        ("edge_source", numbers(graph.source.iter().copied())),
        ("edge_destination", numbers(graph.destination.iter().copied())),
        ("edge_destination_image", graph.image.iter().flatten().map(|&t| f64::from(t)).collect()),
        ("edge_reverse", numbers(graph.reverse.iter().copied())),
        ("edge_length_identity_cell", graph.lengths.clone()),
        ("rbf_first5_edges_columns_0_to_40", rbf.map(|&x| f64::from(x)).collect()),
        ("edge_embedding_first3", first(&trace.edge_embedding, 3)),
        ("triplet_interaction_block1_first3_edges", first(&trace.triplet_interaction, 3)),
        ("h_after_block1_first3", first(&trace.h1, 3)),
        ("m_after_block1_first3_edges", first(&trace.m1, 3)),
        ("triplet_edge_pair_first5", numbers(pairs.iter().copied().flatten())),
        ("triplet_cbf_out_first5", host(&model.decoder.projected_angles(params, &angular))),
        ("triplet_vector_fields_first5", pair_fields(&graph, fields, &pairs)),
        ("triplet_scalars_block0_first5", host(&scalars[0])),
        ("triplet_scalars_total_first5", host(&total)),
        ("edge_scalar_block0", first(&trace.edge_scalar_block0, graph.num_edges())),
        ("edge_scalar_total", first(&trace.edge_scalar_total, graph.num_edges())),
        ("x_displacement", displacement),
        ("x_prime", clean),
        ("rho_prime", full_matrix(&cell)),
        ("rho_prime_minus_identity", full_matrix(&deviation)),
    ]))
}

/// Position of a pair within the block of its atom: (atom, p, q, K).
fn locate(graph: &Multigraph, [p, q]: [u32; 2]) -> (usize, usize, usize, usize) {
    let atom = graph.source[p as usize] as usize;
    let edges = graph.edges_from(atom);
    (atom, p as usize - edges.start, q as usize - edges.start, edges.len())
}

fn pair_angles(graph: &Multigraph, angles: &Angles, pairs: &[[u32; 2]]) -> Vec<f32> {
    pairs
        .iter()
        .flat_map(|&pair| {
            let (atom, p, q, k) = locate(graph, pair);
            let block = &angles.values[angles.ptr[atom]..];
            (0..angles.degrees).map(move |l| block[(q * angles.degrees + l) * k + p])
        })
        .collect()
}

fn pair_fields(graph: &Multigraph, fields: &TripletFields, pairs: &[[u32; 2]]) -> Vec<f64> {
    pairs
        .iter()
        .flat_map(|&pair| {
            let (atom, p, q, k) = locate(graph, pair);
            let angle = fields.angle[fields.ptr[atom] + q * k + p];
            [fields.length[pair[0] as usize], fields.length[pair[1] as usize], angle]
        })
        .flat_map(|field| full_matrix(&field.map(f64::from)))
        .collect()
}

fn flatten(value: &Value, out: &mut Vec<f64>) {
    match value {
        Value::Array(items) => items.iter().for_each(|v| flatten(v, out)),
        other => out.push(other.as_f64().unwrap_or(f64::NAN)),
    }
}

fn record(outputs: &mut Vec<OutputDifference>, name: &str, ours: &[f64], reference: &Value) {
    let mut theirs = Vec::new();
    flatten(reference, &mut theirs);
    let scale = theirs.iter().fold(0f64, |m, x| m.max(x.abs()));
    let integers = ["num_", "edge_source", "edge_destination", "edge_reverse", "triplet_edge_pair"];
    let relative = if ours.len() != theirs.len() {
        f64::INFINITY
    } else if integers.iter().any(|p| name.starts_with(p)) {
        if ours == theirs.as_slice() { 0.0 } else { f64::INFINITY }
    } else {
        let difference = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
        // f64::max would drop a NaN.
        let largest = difference.fold(0f64, |m, x| if x.is_nan() || x > m { x } else { m });
        if largest == 0.0 { 0.0 } else { largest / scale }
    };
    match outputs.iter_mut().find(|o| o.name == name) {
        Some(entry) => {
            entry.values += ours.len();
            if relative.is_nan() || relative > entry.relative {
                entry.relative = if relative.is_nan() { f64::INFINITY } else { relative };
            }
        }
        None => outputs.push(OutputDifference {
            name: name.to_owned(),
            relative: if relative.is_nan() { f64::INFINITY } else { relative },
            values: ours.len(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn other_files_are_refused() {
        let device = druse_nn::device::cpu();
        assert!(matches!(compare("{", &device), Err(ParityError::Format(_))));
        assert!(matches!(compare("{}", &device), Err(ParityError::Format(_))));
        assert!(matches!(compare(r#"{"network": "cdvae"}"#, &device), Err(ParityError::Network(_))));
        assert!(matches!(compare(r#"{"network": "gemsdiff"}"#, &device), Err(ParityError::Format(_))));
    }
}
