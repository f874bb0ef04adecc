//! Comparison with reference evaluations of the published network.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use druse_crystal::{Lattice, Structure};
use druse_nn::ParamBuilder;
use serde::Deserialize;
use serde_json::Value;

use super::config::{AlignnConfig, AlignnSizes};
use super::graph::{AlignnGraph, shell_graph};
use super::network::{AlignnNetwork, AlignnTrace};
use crate::error::check_elements;
use crate::property::CrystalNetwork;
use crate::property::element_vectors::LARGEST_ELEMENT;
use crate::reference::file::{File, elements, read};
use crate::reference::report::Output;
use crate::reference::{Beside, ParityError, ParityReport};
use crate::settings::Settings;

/// Edges between the same atoms that differ by no more (Å) are the same: files give vectors to some 10⁻⁶ Å.
const SAME: f64 = 1e-4;

/// Sizes by the names of the file.
#[derive(Deserialize)]
struct FileConfig {
    alignn_layers: usize,
    gcn_layers: usize,
    edge_input_features: usize,
    triplet_input_features: usize,
    embedding_features: usize,
    hidden_features: usize,
    cutoff: f64,
    max_neighbors: usize,
}

#[derive(Deserialize)]
struct Crystal {
    /// Lattice vectors as rows (Å).
    lattice: [[f64; 3]; 3],
    atomic_numbers: Vec<i64>,
    frac_coords: Vec<[f64; 3]>,
}

#[derive(Deserialize)]
struct Edges {
    edge_source: Vec<u32>,
    edge_target: Vec<u32>,
    edge_vector: Vec<[f64; 3]>,
}

/// Whether a file is one of ALIGNN.
pub(super) fn recognizes(head: &Value) -> bool {
    head["config"].get("alignn_layers").is_some() && head.get("parameters").is_some()
}

/// Evaluates a file.
pub(super) fn compare(head: &Value, _: Beside<'_>, device: &Device) -> Result<ParityReport, ParityError> {
    let file = File::new(head.clone())?;
    let config: FileConfig = read(&file.config)?;
    let network = AlignnSizes {
        hidden: config.hidden_features,
        embedding: config.embedding_features,
        alignn_layers: config.alignn_layers,
        gcn_layers: config.gcn_layers,
        distance_bins: config.edge_input_features,
        angle_bins: config.triplet_input_features,
        cutoff: config.cutoff,
        neighbors: config.max_neighbors,
    };
    let settings = AlignnConfig { network, ..AlignnConfig::default() };
    settings.validate()?;
    let mut builder = ParamBuilder::default();
    let network = AlignnNetwork::new(&mut builder, &settings);
    let params = file.fill(&builder.finish(), device)?;
    let mut report = ParityReport { outputs: Vec::new(), skipped: Vec::new(), crystals: file.inputs.len() };
    for (input, reference) in file.inputs.iter().zip(&file.outputs) {
        let crystal = structure(read(input)?)?;
        let all = Value::Object(reference.clone().into_iter().collect());
        let given: Edges = read(&all)?;
        let own = shell_graph(&crystal, settings.network.neighbors)?;
        let Edges { edge_source, edge_target, edge_vector } = given;
        let graph = AlignnGraph::from_edges(crystal.len(), edge_source, edge_target, edge_vector)
            .map_err(ParityError::Format)?;
        let mut ours = outputs_of_graph(&own, &graph);
        let read = network.input(&[&crystal], std::slice::from_ref(&graph))?;
        ours.extend(outputs_of_network(&params.scope(|| network.trace(&params, &read))));
        for (name, value) in reference {
            match ours.get(name) {
                Some(values) => report.record(name, values, value),
                None => report.skip(name),
            }
        }
    }
    Ok(report)
}

fn structure(crystal: Crystal) -> Result<Structure, ParityError> {
    let species = elements(&crystal.atomic_numbers)?;
    check_elements(&species, LARGEST_ELEMENT)?;
    let wrong = |e: &dyn std::fmt::Display| ParityError::Format(e.to_string());
    let lattice = Lattice::from_rows(crystal.lattice).map_err(|e| wrong(&e))?;
    Structure::new(lattice, species, crystal.frac_coords).map_err(|e| wrong(&e))
}

/// Our edge for each given one, `None` when there is none left. What is left of ours are own images of atoms, +R or -R, that the
/// published search cut off by rounding; anything else that is left makes it `None`, too.
fn matched(own: &AlignnGraph, given: &AlignnGraph) -> Option<Vec<usize>> {
    let mut left: BTreeMap<(u32, u32), Vec<usize>> = BTreeMap::new();
    for e in 0..own.num_edges() {
        left.entry((own.source[e], own.target[e])).or_default().push(e);
    }
    let mut found = Vec::new();
    for e in 0..given.num_edges() {
        let rows = left.get_mut(&(given.source[e], given.target[e]))?;
        let same = |&f: &usize| (0..3).all(|a| (own.vector[f][a] - given.vector[e][a]).abs() < SAME);
        let place = rows.iter().position(same)?;
        found.push(rows.swap_remove(place));
    }
    let of_an_image = |f: &usize| {
        own.source[*f] == own.target[*f]
            && found.iter().any(|&e| {
                own.source[e] == own.source[*f]
                    && own.target[e] == own.target[*f]
                    && (0..3).all(|a| (own.vector[e][a] - own.vector[*f][a]).abs() < SAME)
            })
    };
    left.values().flatten().all(of_an_image).then_some(found)
}

/// What the file says of the graph. Our own edges stand for the given ones where both agree; lines of the graph are those of the
/// given edges, as they are numbered.
fn outputs_of_graph(own: &AlignnGraph, given: &AlignnGraph) -> BTreeMap<String, Output> {
    let matched = matched(own, given).unwrap_or_default();
    let of_image = |e: &usize| given.source[*e] == given.target[*e];
    let same = |e: usize, f: usize| {
        (given.source[e], given.target[e]) == (given.source[f], given.target[f])
            && (0..3).all(|a| (given.vector[e][a] - given.vector[f][a]).abs() < SAME)
    };
    let repeated = |&e: &usize| (0..e).any(|f| same(e, f));
    let edges = 0..given.num_edges();
    let first = given.num_pairs().min(200);
    let pairs = given.first.iter().zip(&given.second).take(first);
    [
        ("edge_source", Output::integers(matched.iter().map(|&e| own.source[e]))),
        ("edge_target", Output::integers(matched.iter().map(|&e| own.target[e]))),
        ("edge_vector", Output::numbers(matched.iter().flat_map(|&e| own.vector[e]))),
        ("n_edges", Output::count(matched.len())),
        ("n_self_image_edges", Output::count(edges.clone().filter(of_image).count())),
        ("n_duplicate_edges", Output::count(edges.filter(repeated).count())),
        ("n_line_edges", Output::count(given.num_pairs())),
        ("line_edge_first200", Output::integers(pairs.flat_map(|(&e, &f)| [e, f]))),
        ("line_cosine_first200", Output::numbers(given.cosine[..first].iter().copied())),
        ("line_cosine_sum", Output::numbers([given.cosine.iter().sum::<f64>()])),
    ]
    .map(|(name, output)| (name.to_owned(), output))
    .into()
}

fn outputs_of_network(trace: &AlignnTrace) -> BTreeMap<String, Output> {
    let sum = |x: &Tensor<2>| Output::tensor(&x.clone().sum_dim(0));
    let first = |x: &Tensor<2>| Output::rows(x, 1);
    let mut found = BTreeMap::new();
    let mut put = |name: String, output| found.insert(name, output);
    for (i, [x, y, z]) in trace.features.iter().enumerate() {
        match i.checked_sub(1) {
            None => {
                put("x_embed_atom0".into(), first(x));
                put("y_embed_edge0".into(), first(y));
                put("z_embed_line0".into(), first(z));
            }
            Some(i) => {
                put(format!("x_after_alignn{i}_atom_sum"), sum(x));
                put(format!("y_after_alignn{i}_edge0"), first(y));
                put(format!("z_after_alignn{i}_line0"), first(z));
            }
        }
    }
    for (i, x) in trace.atoms.iter().enumerate() {
        put(format!("x_after_gcn{i}_atom_sum"), sum(x));
    }
    put("latent".into(), Output::tensor(&trace.latent));
    put("prediction".into(), Output::tensor(&trace.output));
    found
}
