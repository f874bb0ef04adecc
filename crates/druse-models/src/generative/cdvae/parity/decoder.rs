//! The decoder of CDVAE: graph, intermediates, vectors and element logits.

use std::collections::{BTreeMap, HashMap};

use burn::tensor::{Device, Tensor};
use druse_crystal::Lattice;
use druse_nn::blocks::ScaleFactors;
use druse_nn::graph::{Multigraph, Symmetrization};
use druse_nn::ops::matrix;
use druse_nn::{ParamBuilder, Params};
use serde::Deserialize;
use serde_json::Value;

use crate::cdvae::{Decoder, DecoderConfig, DecoderInput};
use crate::reference::file::{File, elements, read};
use crate::reference::report::{Output, Outputs, host};
use crate::reference::{ParityError, Part};

#[derive(Deserialize)]
struct FileConfig {
    decoder: FileDecoder,
}

#[derive(Deserialize)]
struct FileDecoder {
    hidden: usize,
    latent: usize,
    num_spherical: usize,
    num_radial: usize,
    blocks: usize,
    triplet: usize,
    rbf: usize,
    cbf: usize,
    bilinear: usize,
    cutoff: f64,
    #[serde(rename = "max_neighbours")]
    max_neighbors: usize,
}

#[derive(Deserialize)]
struct FileInput {
    atomic_numbers: Vec<i64>,
    frac_coords: Vec<[f64; 3]>,
    lattice: [[f64; 3]; 3],
    latent: Vec<f64>,
}

struct Published {
    decoder: Decoder,
    params: Params,
    latent: usize,
}

/// Builds the decoder of a file.
pub(crate) fn build(file: &File, device: &Device) -> Result<Box<dyn Part>, ParityError> {
    let FileConfig { decoder: c } = read(&file.config)?;
    if c.rbf != c.cbf {
        return Err(ParityError::Format("expected projections of equal width in the decoder".into()));
    }
    let factor = |name: String| match file.constant(&format!("decoder.gemnet.{name}.scale_factor")).as_deref()
    {
        Some(&[factor]) => Ok(factor as f32),
        _ => Err(ParityError::Format(format!("expected the scale factor {name} among the constants"))),
    };
    let of_blocks = |part: &str| -> Result<Vec<f32>, ParityError> {
        (0..c.blocks).map(|i| factor(format!("int_blocks.{i}.{part}"))).collect()
    };
    let scale_factors = ScaleFactors {
        triplet_radial: of_blocks("trip_interaction.scale_rbf")?,
        triplet_sum: of_blocks("trip_interaction.scale_cbf_sum")?,
        atom_sum: of_blocks("atom_update.scale_sum")?,
        edge_head: (0..=c.blocks)
            .map(|i| factor(format!("out_blocks.{i}.scale_rbf_F")))
            .collect::<Result<_, _>>()?,
    };
    let config = DecoderConfig {
        hidden: c.hidden,
        triplet: c.triplet,
        basis: c.rbf,
        bilinear: c.bilinear,
        num_radial: c.num_radial,
        num_spherical: c.num_spherical,
        blocks: c.blocks,
        cutoff: c.cutoff,
        neighbors: c.max_neighbors,
        symmetrization: Symmetrization::ByIndex,
        scale_factors,
    };
    config.validate()?;
    let mut builder = ParamBuilder::default();
    let decoder = Decoder::new(&mut builder, "decoder", &config, c.latent);
    let params = file.fill(&builder.finish(), device)?;
    Ok(Box::new(Published { decoder, params, latent: c.latent }))
}

/// The edges as a file lists them.
struct ListedEdges {
    source: Vec<u32>,
    target: Vec<u32>,
    /// Images of the sources.
    image: Vec<[i32; 3]>,
}

impl ListedEdges {
    /// The edges of a file, if it has such lists.
    fn new(reference: &BTreeMap<String, Value>) -> Option<Self> {
        let list = |name: &str| reference.get(&format!("decoder_edge_{name}"));
        Some(Self {
            source: read(list("source")?).ok()?,
            target: read(list("target")?).ok()?,
            image: read(list("source_image")?).ok()?,
        })
    }

    /// For each listed edge its number in the graph, if these are the edges of the graph.
    fn find(&self, graph: &Multigraph) -> Option<Vec<usize>> {
        // An edge of the graph leaves the target.
        let key = |e: usize| (graph.source[e], graph.destination[e], graph.image[e]);
        let mut numbers: HashMap<_, usize> = (0..graph.num_edges()).map(|e| (key(e), e)).collect();
        let ends = self.target.iter().zip(&self.source).zip(&self.image);
        let order = ends.map(|((&i, &j), &t)| numbers.remove(&(i, j, t))).collect::<Option<Vec<_>>>()?;
        numbers.is_empty().then_some(order)
    }
}

impl Part for Published {
    fn outputs(&self, input: &Value, reference: &BTreeMap<String, Value>) -> Result<Outputs, ParityError> {
        let input: FileInput = read(input)?;
        let species = elements(&input.atomic_numbers)?;
        if species.len() != input.frac_coords.len() || input.latent.len() != self.latent {
            return Err(ParityError::Format("atoms, coordinates and latent differ in number".into()));
        }
        let lattice = Lattice::from_rows(input.lattice).map_err(|e| ParityError::Format(e.to_string()))?;
        let (decoder, params, config) = (&self.decoder, &self.params, self.decoder.config());
        let geometry = DecoderInput::new(config, &[(lattice, input.frac_coords.as_slice())]);
        let graph = geometry.graph();
        // Edges have no order of their own; the file's is taken when it lists the same ones.
        let listed = ListedEdges::new(reference).and_then(|edges| edges.find(graph));
        let order = listed.unwrap_or_else(|| (0..graph.num_edges()).collect());
        let mut position = vec![0i64; graph.num_edges()];
        order.iter().zip(0..).for_each(|(&e, place)| position[e] = place);

        let latent = input.latent.iter().map(|&x| x as f32).collect();
        let latent = decoder.latent_projection(params, matrix(latent, self.latent, params.device()));
        let mut outputs = Outputs::new();
        let mut scalars: Option<Tensor<2>> = None;
        let of_edges = |t: &Tensor<2>, edges: usize| {
            let [_, cols] = t.dims();
            let values = host(t);
            Output::numbers(order.iter().take(edges).flat_map(|&e| values[e * cols..][..cols].to_vec()))
        };
        let output =
            decoder.forward_visited(params, &geometry, &species, latent, |i, state, basis, scalar| {
                scalars = Some(scalars.take().map_or_else(|| scalar.clone(), |sum| sum + scalar.clone()));
                match i {
                    0 => {
                        outputs.insert("decoder_atom_embedding_first3", Output::rows(&state.h, 3));
                        outputs.insert("decoder_edge_embedding_first3", of_edges(&state.m, 3));
                        outputs.insert("decoder_force_scalar_output_block0", of_edges(scalar, order.len()));
                        if let Some(block) = decoder.trunk().blocks().first() {
                            let m = state.m.clone();
                            let sums =
                                block.triplet_interaction().forward(params, m, basis, geometry.geometry());
                            outputs.insert(
                                "decoder_triplet_interaction_block1_first3_edges",
                                of_edges(&sums, 3),
                            );
                        }
                    }
                    1 => {
                        outputs.insert("decoder_h_after_block1_first3", Output::rows(&state.h, 3));
                        outputs.insert("decoder_m_after_block1_first3_edges", of_edges(&state.m, 3));
                    }
                    _ => {}
                }
            });
        if let Some(scalars) = scalars {
            outputs.insert("decoder_force_scalar_total", of_edges(&scalars, order.len()));
        }
        let radial = geometry.radial_basis(params.device());
        let (radial, count) = (host(&radial), config.num_radial);
        let columns = order.iter().take(5).flat_map(|&e| radial[e * count..][..count].iter().step_by(16));
        outputs.insert("decoder_rbf_first5_edges_columns_0_16_32_to_112", Output::numbers(columns.copied()));
        let triplets = graph.triplets_per_crystal().iter().sum();
        let images = order.iter().flat_map(|&e| graph.image[e].map(i64::from));
        outputs.extend([
            ("decoder_num_edges", Output::count(graph.num_edges())),
            ("decoder_num_triplets", Output::count(triplets)),
            ("decoder_edge_source", Output::integers(order.iter().map(|&e| graph.destination[e]))),
            ("decoder_edge_target", Output::integers(order.iter().map(|&e| graph.source[e]))),
            ("decoder_edge_source_image", Output::integers(images)),
            (
                "decoder_edge_reverse",
                Output::integers(order.iter().map(|&e| position[graph.reverse[e] as usize])),
            ),
            ("decoder_edge_length", Output::numbers(order.iter().map(|&e| graph.lengths[e]))),
            ("decoder_atom_vector", Output::tensor(&output.vectors)),
            ("decoder_type_logits", Output::tensor(&output.logits)),
        ]);
        Ok(outputs)
    }
}
