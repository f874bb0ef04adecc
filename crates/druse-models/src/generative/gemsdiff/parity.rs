//! GemsDiff as released.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use druse_crystal::{Lattice, wrap_unit};
use druse_nn::Params;
use druse_nn::graph::{Angles, Multigraph, TripletFields};
use serde::Deserialize;
use serde_json::Value;

use crate::Trainable;
use crate::gemsdiff::{GemsDiff, GemsDiffConfig, GemsNetConfig, GeometryInput, PositionLoss, Trace, Variant};
use crate::reference::file::{File, elements, read};
use crate::reference::report::{Output, Outputs, host};
use crate::reference::{ParityError, Part};

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
struct FileInput {
    atomic_numbers: Vec<i64>,
    frac_coords: Vec<[f64; 3]>,
}

struct Released {
    model: GemsDiff,
    params: Params,
}

impl Part for Released {
    fn outputs(&self, input: &Value, _: &BTreeMap<String, Value>) -> Result<Outputs, ParityError> {
        evaluate(&self.model, &self.params, &read(input)?)
    }
}

/// Builds the network of a file.
pub(crate) fn build(file: &File, device: &Device) -> Result<Box<dyn Part>, ParityError> {
    let c: FileConfig = read(&file.config)?;
    if c.variant != "R" || c.rbf != c.cbf {
        return Err(ParityError::Format("expected variant R with projections of equal width".into()));
    }
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
    let params = file.fill(model.parameters(), device)?;
    Ok(Box::new(Released { model, params }))
}

fn full_matrix(s: &[f64]) -> Vec<f64> {
    vec![s[0], s[3], s[4], s[3], s[1], s[5], s[4], s[5], s[2]]
}

fn evaluate(model: &GemsDiff, params: &Params, input: &FileInput) -> Result<Outputs, ParityError> {
    let species = elements(&input.atomic_numbers)?;
    if species.len() != input.frac_coords.len() {
        return Err(ParityError::Format("atomic numbers and coordinates differ in number".into()));
    }
    model.check_species(&species)?;
    let cube = Lattice::cubic(1.0).expect("the unit cube is a lattice");
    let config = model.decoder.config();
    let geometry =
        GeometryInput::new(config, &[(cube, input.frac_coords.as_slice())], model.config.knn, true)
            .map_err(|e| ParityError::Format(e.to_string()))?;
    let graph: Arc<Multigraph> = geometry.graph().clone();
    let mut trace = Trace::default();
    let h = model.embedding.forward(params, &species);
    let prediction = model.decoder.forward_traced(params, &geometry, h, Some(&mut trace));

    let first = |t: &Option<Tensor<2>>, rows: usize| {
        t.as_ref().map_or_else(|| Output::Numbers(Vec::new()), |t| Output::rows(t, rows))
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

    Ok(Outputs::from([
        ("num_edges", Output::count(graph.num_edges())),
        ("num_triplets", Output::count(ps.len())),
        ("edge_source", Output::integers(graph.source.iter().copied())),
        ("edge_destination", Output::integers(graph.destination.iter().copied())),
        ("edge_destination_image", Output::integers(graph.image.iter().flatten().copied())),
        ("edge_reverse", Output::integers(graph.reverse.iter().copied())),
        ("edge_length_identity_cell", Output::Numbers(graph.lengths.clone())),
        ("rbf_first5_edges_columns_0_to_40", Output::numbers(rbf.copied())),
        ("edge_embedding_first3", first(&trace.edge_embedding, 3)),
        ("triplet_interaction_block1_first3_edges", first(&trace.triplet_interaction, 3)),
        ("h_after_block1_first3", first(&trace.h1, 3)),
        ("m_after_block1_first3_edges", first(&trace.m1, 3)),
        ("triplet_edge_pair_first5", Output::integers(pairs.iter().copied().flatten())),
        ("triplet_cbf_out_first5", Output::tensor(&model.decoder.projected_angles(params, &angular))),
        ("triplet_vector_fields_first5", Output::Numbers(pair_fields(&graph, fields, &pairs))),
        ("triplet_scalars_block0_first5", Output::tensor(&scalars[0])),
        ("triplet_scalars_total_first5", Output::tensor(&total)),
        ("edge_scalar_block0", first(&trace.edge_scalar_block0, graph.num_edges())),
        ("edge_scalar_total", first(&trace.edge_scalar_total, graph.num_edges())),
        ("x_displacement", Output::Numbers(displacement)),
        ("x_prime", Output::Numbers(clean)),
        ("rho_prime", Output::Numbers(full_matrix(&cell))),
        ("rho_prime_minus_identity", Output::Numbers(full_matrix(&deviation))),
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
