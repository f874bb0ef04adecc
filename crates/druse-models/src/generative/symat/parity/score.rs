//! The score network of SyMat on given positions.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use druse_crystal::Lattice;
use druse_nn::blocks::MAX_ELEMENT;
use druse_nn::blocks::spherenet::DistanceNetConfig;
use druse_nn::graph::{DirectedGraph, Index};
use druse_nn::ops::{self, matrix};
use druse_nn::{ParamBuilder, Params};
use serde::Deserialize;
use serde_json::Value;

use crate::error::check_elements;
use crate::generative::symat::score::{ScoreConfig, ScoreInput, ScoreNetwork};
use crate::reference::file::{File, elements, read};
use crate::reference::report::{Output, Outputs, host};
use crate::reference::{ParityError, Part};

#[derive(Deserialize)]
struct FileConfig {
    score: FileScore,
    latent: usize,
}

#[derive(Deserialize)]
struct FileScore {
    cutoff: f64,
    #[serde(rename = "max_neighbours")]
    max_neighbors: usize,
    layers: usize,
    hidden: usize,
    interaction: usize,
    basis: usize,
    num_radial: usize,
    head_hidden: usize,
}

#[derive(Deserialize)]
struct FileInput {
    atomic_numbers: Vec<i64>,
    score_frac_coords: Vec<[f64; 3]>,
    lattice: [[f64; 3]; 3],
    latent_position: Vec<f64>,
    score_norm: f64,
}

struct Published {
    config: ScoreConfig,
    network: ScoreNetwork,
    params: Params,
    latent: usize,
}

/// Builds the score network of a file.
pub(crate) fn build(file: &File, device: &Device) -> Result<Box<dyn Part>, ParityError> {
    let FileConfig { score: c, latent } = read(&file.config)?;
    let network = DistanceNetConfig {
        hidden: c.hidden,
        interaction: c.interaction,
        basis: c.basis,
        blocks: c.layers,
        num_radial: c.num_radial,
        cutoff: c.cutoff,
        ..DistanceNetConfig::default()
    };
    let config = ScoreConfig { network, head: c.head_hidden, radius: c.cutoff, neighbors: c.max_neighbors };
    config.validate()?;
    let mut builder = ParamBuilder::default();
    let network = ScoreNetwork::new(&mut builder, &config, latent)
        .map_err(|e| ParityError::Format(format!("score: {e}")))?;
    let params = file.fill(&builder.finish(), device)?;
    Ok(Box::new(Published { config, network, params, latent }))
}

/// The edges as a file lists them.
struct ListedEdges {
    source: Vec<u32>,
    target: Vec<u32>,
    vector: Vec<[f64; 3]>,
}

impl ListedEdges {
    /// The edges of a file, if it has such lists.
    fn new(reference: &BTreeMap<String, Value>) -> Option<Self> {
        let list = |name: &str| reference.get(&format!("score_edge_{name}"));
        Some(Self {
            source: read(list("source")?).ok()?,
            target: read(list("target")?).ok()?,
            vector: read(list("vector")?).ok()?,
        })
    }

    /// For each listed edge its number in the graph, if these are the edges of the graph.
    fn find(&self, graph: &DirectedGraph) -> Option<Vec<usize>> {
        let mut free = vec![true; graph.num_edges()];
        let mut order = Vec::with_capacity(free.len());
        for ((&j, &i), v) in self.source.iter().zip(&self.target).zip(&self.vector) {
            let same = |e: &usize| {
                let near = graph.vectors[*e].iter().zip(v).all(|(a, b)| (a - b).abs() < 1e-6);
                free[*e] && (graph.source[*e], graph.target[*e]) == (j, i) && near
            };
            let e = (0..free.len()).find(same)?;
            free[e] = false;
            order.push(e);
        }
        (order.len() == free.len()).then_some(order)
    }
}

impl Part for Published {
    fn outputs(&self, input: &Value, reference: &BTreeMap<String, Value>) -> Result<Outputs, ParityError> {
        let input: FileInput = read(input)?;
        let species = elements(&input.atomic_numbers)?;
        check_elements(&species, MAX_ELEMENT)?;
        if species.len() != input.score_frac_coords.len() || input.latent_position.len() != self.latent {
            return Err(ParityError::Format("atoms, coordinates and latent differ in number".into()));
        }
        let lattice = Lattice::from_rows(input.lattice).map_err(|e| ParityError::Format(e.to_string()))?;
        let (params, network) = (&self.params, &self.network);
        let search = self.config.search(lattice);
        let geometry = ScoreInput::new(&[(&search, input.score_frac_coords.as_slice())]);
        let graph = geometry.graph();
        // Edges have no order of their own; the file's is taken when it lists the same ones.
        let listed = ListedEdges::new(reference).and_then(|edges| edges.find(graph));
        let order = listed.unwrap_or_else(|| (0..graph.num_edges()).collect());
        let first = |t: &Tensor<2>, rows: usize| {
            let rows: Index = order.iter().take(rows).map(|&e| e as u32).collect();
            Output::tensor(&ops::gather(t.clone(), &rows))
        };
        let mut outputs = Outputs::new();
        let mut names = ["score_e1_initial_first3", "score_e1_after_layer1_first3"].into_iter();
        let messages = network.network.visited(params, graph, &species, |m| {
            outputs.extend(names.next().map(|name| (name, first(m, 3))));
        });
        let latent = input.latent_position.iter().map(|&x| x as f32).collect();
        let latent = network.latent_projection(params, matrix(latent, self.latent, params.device()));
        let scalars = network.of_messages(params, &geometry, messages.clone(), latent);
        let values = host(&scalars);
        let scored = order.iter().filter_map(|&e| geometry.scored().iter().position(|&s| s as usize == e));
        let atoms = geometry.to_atoms(scalars).div_scalar(input.score_norm as f32);
        let of_edges = |list: &Index| Output::integers(order.iter().map(|&e| list[e]));
        let count = (0..graph.num_edges()).map(|e| graph.messages_before(e).count()).sum();
        outputs.extend([
            ("score_edge_scalars_non_self", Output::numbers(scored.map(|s| values[s]))),
            ("score_atom_vectors_divided_by_norm", Output::tensor(&atoms)),
            ("score_edge_features_first3", first(&messages, 3)),
            ("score_rbf_first5_edges", first(&network.network.radial_basis(params, graph), 5)),
            ("score_num_edges", Output::count(graph.num_edges())),
            ("score_num_messages", Output::count(count)),
            ("score_edge_source", of_edges(&graph.source)),
            ("score_edge_target", of_edges(&graph.target)),
            ("score_edge_vector", Output::numbers(order.iter().flat_map(|&e| graph.vectors[e]))),
            (
                "score_cart_coords",
                Output::numbers(input.score_frac_coords.iter().flat_map(|&f| lattice.to_cartesian(f))),
            ),
        ]);
        Ok(outputs)
    }
}
