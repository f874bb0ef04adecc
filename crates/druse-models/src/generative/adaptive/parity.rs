//! Comparison with evaluations of the published code.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use druse_nn::blocks::dimenet::{DimeNetConfig, EdgeDimeNet};
use druse_nn::graph::{AngleRule, Index, SymmetricEdge, SymmetricEdges, SymmetricGraph};
use druse_nn::ops;
use druse_nn::{ParamBuilder, Params};
use serde::Deserialize;
use serde_json::Value;

use super::config::EMBEDDED_LEVELS;
use super::scores::Directions;
use crate::ModelError;
use crate::error::check_elements;
use crate::reference::file::{File, elements, read};
use crate::reference::report::{Output, Outputs};
use crate::reference::{ParityError, Part};

#[derive(Deserialize)]
struct FileConfig {
    emb_size: usize,
    out_emb_size: usize,
    int_emb_size: usize,
    basis_emb_size: usize,
    num_blocks: usize,
    num_spherical: usize,
    num_radial: usize,
    cutoff: f64,
    num_before_skip: usize,
    num_after_skip: usize,
    num_dense_output: usize,
}

#[derive(Deserialize)]
struct FileInput {
    atomic_numbers: Vec<i64>,
    edge_source: Vec<u32>,
    edge_destination: Vec<u32>,
    edge_vector: Vec<[f64; 3]>,
    edge_symmetry_flag: Vec<u8>,
    noise_level_index: u32,
}

struct Published {
    network: EdgeDimeNet,
    params: Params,
}

/// Builds the network of a file.
pub(crate) fn build(file: &File, device: &Device) -> Result<Box<dyn Part>, ParityError> {
    let c: FileConfig = read(&file.config)?;
    let config = DimeNetConfig {
        hidden: c.emb_size,
        interaction: c.int_emb_size,
        basis: c.basis_emb_size,
        output_embedding: c.out_emb_size,
        blocks: c.num_blocks,
        num_spherical: c.num_spherical,
        num_radial: c.num_radial,
        cutoff: c.cutoff,
        before_skip: c.num_before_skip,
        after_skip: c.num_after_skip,
        output_layers: c.num_dense_output,
    };
    let mut builder = ParamBuilder::default();
    let network = EdgeDimeNet::new(&mut builder, "", &config, EMBEDDED_LEVELS, 2)
        .map_err(|e| ModelError::Config(e.to_string()))?;
    let params = file.fill(&builder.finish(), device)?;
    Ok(Box::new(Published { network, params }))
}

impl FileInput {
    /// The edges by their source, and for each edge of the file its number there.
    fn edges(&self, sites: usize) -> Result<(SymmetricEdges, Vec<u32>), ParityError> {
        let n = self.edge_source.len();
        let ends = || self.edge_source.iter().chain(&self.edge_destination);
        let equal = [self.edge_destination.len(), self.edge_vector.len(), self.edge_symmetry_flag.len()];
        if equal != [n; 3] || ends().any(|&site| site as usize >= sites) {
            return Err(ParityError::Format("lists of edges do not fit each other or the atoms".into()));
        }
        if self.noise_level_index as usize >= EMBEDDED_LEVELS {
            return Err(ParityError::Format(format!("noise level {}", self.noise_level_index)));
        }
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by_key(|&e| self.edge_source[e]);
        let mut numbers = vec![0; n];
        (0u32..).zip(&order).for_each(|(number, &e)| numbers[e] = number);
        let edge = |&e: &usize| SymmetricEdge {
            source: self.edge_source[e],
            destination: self.edge_destination[e],
            frac_vector: self.edge_vector[e],
            vector: self.edge_vector[e],
            arriving: self.edge_vector[e],
            own_copy: self.edge_symmetry_flag[e] != 0,
        };
        Ok((SymmetricEdges { sites, edges: order.iter().map(edge).collect() }, numbers))
    }
}

impl Part for Published {
    fn outputs(&self, input: &Value, _: &BTreeMap<String, Value>) -> Result<Outputs, ParityError> {
        let input: FileInput = read(input)?;
        let species = elements(&input.atomic_numbers)?;
        check_elements(&species, EdgeDimeNet::MAX_ELEMENT)?;
        let (edges, numbers) = input.edges(species.len())?;
        let mut directions = Directions::default();
        directions.push_positions(&edges, None);
        let graph = Arc::new(SymmetricGraph::join(&[edges]));
        let (network, params) = (&self.network, &self.params);
        let geometry = network.geometry(graph.clone(), AngleRule::Published);
        let trace = network.trace(params, &geometry, &species, &[input.noise_level_index]);

        // Pairs as the file counts them: the arriving edge is the slow one.
        let mut of_number = vec![0u32; numbers.len()];
        (0u32..).zip(&numbers).for_each(|(e, &number)| of_number[number as usize] = e);
        let mut pairs = Vec::new();
        for (e, &q) in (0u32..).zip(&numbers) {
            let site = graph.destination[q as usize] as usize;
            let mut leaving: Vec<u32> = graph.edges_from(site).map(|p| of_number[p]).collect();
            leaving.sort_unstable();
            pairs.extend(leaving.into_iter().map(|f| [e, f]));
        }
        let cosine =
            |&[e, f]: &[u32; 2]| geometry.harmonics().cosine(numbers[f as usize], numbers[e as usize]);
        let config = network.config();
        let (degrees, radial) = (config.num_spherical, config.num_radial);
        let spherical = |pair: &[u32; 2]| {
            let mut y = vec![0.0; degrees];
            legendre(cosine(pair), &mut y);
            let row = numbers[pair[1] as usize] as usize * degrees * radial;
            let factors = geometry.spherical()[row..row + degrees * radial].to_vec();
            factors.into_iter().enumerate().map(move |(i, x)| f64::from(x) * y[i / radial])
        };
        let rows = |t: &Tensor<2>, count: usize| {
            let index: Index = numbers.iter().take(count).copied().collect();
            Output::tensor(&ops::gather(t.clone(), &index))
        };
        let all = numbers.len();
        let sum = trace.outputs.iter().skip(1).fold(trace.outputs[0].clone(), |sum, x| sum + x.clone());
        let mut outputs = Outputs::from([
            ("num_edges", Output::count(all)),
            ("num_edge_pairs", Output::count(pairs.len())),
            ("edge_length", Output::numbers(numbers.iter().map(|&e| graph.lengths[e as usize]))),
            ("edge_pair_first10", Output::integers(pairs.iter().take(10).flatten().copied())),
            ("edge_pair_angle_first10", Output::angles(pairs.iter().take(10).map(|p| cosine(p).acos()))),
            ("rbf_first5_edges", rows(&network.radial_basis(params, &geometry), 5)),
            ("sbf_first3_pairs", Output::numbers(pairs.iter().take(3).flat_map(spherical))),
            ("edge_embedding_first3", rows(&trace.messages[0], 3)),
            ("output_block0", rows(&trace.outputs[0], all)),
            ("edge_output", rows(&sum, all)),
        ]);
        if let Some(m) = trace.messages.get(1) {
            outputs.insert("m_after_block1_first3", rows(m, 3));
        }
        if let Some(noise) = directions.of_positions(&sum) {
            outputs.insert("atom_position_noise", Output::tensor(&noise));
        }
        Ok(outputs)
    }
}

/// `sqrt((2l+1)/4π) P_l(x)` for l = 0, 1, ….
fn legendre(x: f64, out: &mut [f64]) {
    let (mut previous, mut current) = (0.0, 1.0);
    for (l, y) in (0u32..).zip(out.iter_mut()) {
        *y = (f64::from(2 * l + 1) / (4.0 * std::f64::consts::PI)).sqrt() * current;
        let l = f64::from(l);
        (previous, current) = (current, ((2.0 * l + 1.0) * x * current - l * previous) / (l + 1.0));
    }
}
