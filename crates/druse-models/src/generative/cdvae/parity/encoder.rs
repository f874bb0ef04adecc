//! The encoder of CDVAE: DimeNet++ on given bonds, and the heads of the latent distribution.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use druse_nn::blocks::Linear;
use druse_nn::blocks::dimenet::{DimeNetConfig, DimeNetPlusPlus, MAX_ELEMENT, Readout};
use druse_nn::graph::Index;
use druse_nn::{ParamBuilder, Params, ops};
use serde::Deserialize;
use serde_json::Value;

use crate::reference::bonds::{ListedBonds, angle_between};
use crate::reference::file::{File, read};
use crate::reference::report::{Output, Outputs};
use crate::reference::{ParityError, Part};

#[derive(Deserialize)]
struct FileConfig {
    encoder: EncoderConfig,
}

#[derive(Deserialize)]
struct EncoderConfig {
    hidden: usize,
    blocks: usize,
    interaction: usize,
    basis: usize,
    output_embedding: usize,
    output: usize,
    num_spherical: usize,
    num_radial: usize,
    cutoff: f64,
    envelope_p: usize,
    before_skip: usize,
    after_skip: usize,
    output_layers: usize,
    readout: Readout,
}

struct Encoder {
    network: DimeNetPlusPlus,
    readout: Readout,
    mean: Linear,
    log_variance: Linear,
    params: Params,
}

/// Builds the encoder of a file.
pub(crate) fn build(file: &File, device: &Device) -> Result<Box<dyn Part>, ParityError> {
    let FileConfig { encoder: c } = read(&file.config)?;
    if c.envelope_p != 6 {
        return Err(ParityError::Format(format!("envelope_p = {}, expected 6", c.envelope_p)));
    }
    let config = DimeNetConfig {
        hidden: c.hidden,
        interaction: c.interaction,
        basis: c.basis,
        output_embedding: c.output_embedding,
        blocks: c.blocks,
        num_spherical: c.num_spherical,
        num_radial: c.num_radial,
        cutoff: c.cutoff,
        before_skip: c.before_skip,
        after_skip: c.after_skip,
        output_layers: c.output_layers,
    };
    let mut builder = ParamBuilder::default();
    let network = DimeNetPlusPlus::new(&mut builder, "encoder", &config, c.output)
        .map_err(|e| ParityError::Format(format!("encoder: {e}")))?;
    let mut head = |name: &str| Linear::new(&mut builder, name, [c.output, c.output], true);
    let (mean, log_variance) = (head("fc_mu"), head("fc_var"));
    let params = file.fill(&builder.finish(), device)?;
    Ok(Box::new(Encoder { network, readout: c.readout, mean, log_variance, params }))
}

/// Pairs (kj, ji) of the file's edge numbers, ordered by edge ji, then by atom k. Parallel edges k → j come in no particular
/// order in the files, so theirs is taken from what the file lists first.
fn triplets(input: &ListedBonds, listed: &[usize]) -> Vec<[usize; 2]> {
    let edges = &input.encoder_edge_source_target;
    let mut all: Vec<[usize; 2]> = Vec::new();
    for (ji, &[j, i]) in edges.iter().enumerate() {
        let mut messages: Vec<usize> =
            (0..edges.len()).filter(|&kj| edges[kj][1] == j && edges[kj][0] != i).collect();
        let listed = listed.get(all.len()..).unwrap_or_default();
        let listed = &listed[..messages.len().min(listed.len())];
        let place = |kj: usize| listed.iter().position(|&l| l == kj).unwrap_or(usize::MAX);
        messages.sort_by_key(|&kj| (edges[kj][0], place(kj), kj));
        all.extend(messages.into_iter().map(|kj| [kj, ji]));
    }
    all
}

impl Part for Encoder {
    fn outputs(&self, input: &Value, reference: &BTreeMap<String, Value>) -> Result<Outputs, ParityError> {
        let input: ListedBonds = read(input)?;
        let species = input.species(MAX_ELEMENT)?;
        let (graph, edges) = input.graph()?;
        let listed: Vec<usize> = match reference.get("encoder_triplet_edge_kj_first10") {
            Some(list) => read(list)?,
            None => Vec::new(),
        };
        let geometry = self.network.geometry(graph.clone());
        let trace = self.network.trace(&self.params, &geometry, &species);
        let sum = self.network.forward(&self.params, &geometry, &species);
        let hidden = self.readout.apply(sum.clone(), &graph);
        let head = |layer: &Linear| Output::tensor(&layer.forward(&self.params, hidden.clone()));

        let first = |t: &Tensor<2>, rows: usize| {
            let rows: Index = edges.iter().copied().take(rows).collect();
            Output::tensor(&ops::gather(t.clone(), &rows))
        };
        let messages = |i: usize| trace.messages.get(i).map(|m| first(m, 3));
        let pairs = triplets(&input, &listed);
        let pairs: Vec<[usize; 2]> = pairs.into_iter().take(10).collect();
        // The message k → j is the one of the reverse of the edge j → k.
        let ends = |[kj, ji]: [usize; 2]| (graph.reverse[edges[kj] as usize], edges[ji]);
        let angle = |pair| {
            let (p, q) = ends(pair);
            angle_between(graph.vectors[q as usize].map(|x| -x), graph.vectors[p as usize])
        };
        let (ps, qs) = geometry.angles().pairs();
        let degrees = self.network.config().num_spherical;
        let count = self.network.config().num_radial;
        let harmonics = geometry.angles().of_pairs();
        let spherical = |pair| -> Vec<f64> {
            let (p, q) = ends(pair);
            let Some(t) = ps.iter().zip(&qs).position(|(&a, &b)| (a, b) == (p, q)) else {
                return Vec::new();
            };
            let radial = &geometry.spherical()[p as usize * degrees * count..][..degrees * count];
            let angular = &harmonics[t * degrees..][..degrees];
            let product = |(i, r): (usize, &f32)| f64::from(*r) * f64::from(angular[i / count]);
            radial.iter().enumerate().map(product).collect()
        };
        let mut outputs = Outputs::from([
            ("encoder_num_triplets", Output::count(ps.len())),
            ("encoder_edge_length", Output::numbers(edges.iter().map(|&e| graph.lengths[e as usize]))),
            ("encoder_rbf_first5_edges", first(&self.network.radial_basis(&self.params, &geometry), 5)),
            ("encoder_triplet_angle_first10", Output::numbers(pairs.iter().map(|&pair| angle(pair)))),
            ("encoder_triplet_edge_kj_first10", Output::integers(pairs.iter().map(|&[kj, _]| kj as i64))),
            (
                "encoder_sbf_first3_triplets",
                Output::numbers(pairs.iter().take(3).flat_map(|&pair| spherical(pair))),
            ),
            // The published code adds the later blocks to the output of the first in place, so what the files recorded
            // under this name is the sum.
            ("encoder_output_block0_atom0", Output::rows(&sum, 1)),
            ("encoder_hidden", Output::tensor(&hidden)),
            ("mu", head(&self.mean)),
            ("logvar", head(&self.log_variance)),
        ]);
        outputs.extend(messages(0).map(|m| ("encoder_edge_embedding_first3", m)));
        outputs.extend(messages(1).map(|m| ("encoder_edge_message_after_block1_first3", m)));
        Ok(outputs)
    }
}
