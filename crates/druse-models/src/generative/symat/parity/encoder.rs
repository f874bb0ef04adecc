//! The encoder of SyMat on given bonds, with both meanings of the torsion.

use std::collections::{BTreeMap, HashSet};

use burn::tensor::{Device, Tensor};
use druse_nn::blocks::MAX_ELEMENT;
use druse_nn::blocks::spherenet::{SphereGeometry, SphereNetConfig};
use druse_nn::graph::{Index, Multigraph, TorsionRule, TripletPlaces};
use druse_nn::ops::{self, matrix};
use druse_nn::{ParamBuilder, Params};
use serde::Deserialize;
use serde_json::Value;

use crate::Standardizer;
use crate::autoencoder::{Gaussian, normalized_cell};
use crate::generative::symat::encoder::{Encoder, LARGEST_LOG_VARIANCE, LARGEST_MEAN, clip};
use crate::reference::bonds::{ListedBonds, angle_between};
use crate::reference::file::{File, read};
use crate::reference::report::{Output, Outputs, host};
use crate::reference::{ParityError, Part};

#[derive(Deserialize)]
struct FileConfig {
    encoder: EncoderConfig,
    latent: usize,
}

#[derive(Deserialize)]
struct EncoderConfig {
    cutoff: f64,
    layers: usize,
    hidden: usize,
    out: usize,
    interaction: usize,
    basis: [usize; 3],
    output_embedding: usize,
    num_spherical: usize,
    num_radial: usize,
    envelope_p: usize,
    readout: String,
}

/// The encoder with either meaning of the torsion.
struct Published {
    nearest: Encoder,
    zero: Encoder,
    params: Params,
    scaler: Standardizer,
}

/// Builds the encoder of a file.
pub(crate) fn build(file: &File, device: &Device) -> Result<Box<dyn Part>, ParityError> {
    let FileConfig { encoder: c, latent } = read(&file.config)?;
    if c.envelope_p != 6 || c.readout != "sum" || c.out != 2 * latent {
        let message = "expected envelope_p = 6, readout sum and twice the width of a latent from the encoder";
        return Err(ParityError::Format(message.into()));
    }
    let [basis_distance, basis_angle, basis_torsion] = c.basis;
    let config = SphereNetConfig {
        hidden: c.hidden,
        interaction: c.interaction,
        basis_distance,
        basis_angle,
        basis_torsion,
        output_embedding: c.output_embedding,
        blocks: c.layers,
        num_spherical: c.num_spherical,
        num_radial: c.num_radial,
        cutoff: c.cutoff,
        ..SphereNetConfig::default()
    };
    let head = file.rows("fc_lattice_mu.0.weight")?;
    let with = |torsion: TorsionRule| {
        let mut builder = ParamBuilder::default();
        let config = SphereNetConfig { torsion, ..config.clone() };
        let encoder = Encoder::new(&mut builder, &config, [latent, head])
            .map_err(|e| ParityError::Format(format!("encoder: {e}")))?;
        Ok::<_, ParityError>((encoder, builder.finish()))
    };
    let (nearest, specs) = with(TorsionRule::Nearest)?;
    let (zero, _) = with(TorsionRule::Zero)?;
    let params = file.fill(&specs, device)?;
    let scaler = file.standardizer("lattice_scaler", 6)?;
    Ok(Box::new(Published { nearest, zero, params, scaler }))
}

/// Pairs of the file's edge numbers.
struct Pairs(Vec<[usize; 2]>);

impl Pairs {
    /// All pairs (kj, ji) without those that come straight back. Their order is the file's if it lists the same ones.
    fn new(graph: &Multigraph, edges: &[u32], reference: &BTreeMap<String, Value>) -> Self {
        let mut number = vec![0; edges.len()];
        edges.iter().enumerate().for_each(|(file, &e)| number[e as usize] = file);
        let (ps, qs) = graph.triplets();
        let of_message = |p: u32| number[graph.reverse[p as usize] as usize];
        let mut all: Vec<[usize; 2]> =
            ps.iter().zip(&qs).map(|(&p, &q)| [of_message(p), number[q as usize]]).collect();
        all.sort_unstable_by_key(|&[kj, ji]| (ji, kj));
        let list = |name: &str| reference.get(name).and_then(|v| read::<Vec<usize>>(v).ok());
        if let (Some(kj), Some(ji)) = (list("encoder_triplet_edge_kj"), list("encoder_triplet_edge_ji"))
            && kj.len() == all.len()
        {
            let listed: Vec<[usize; 2]> = kj.into_iter().zip(ji).map(|(kj, ji)| [kj, ji]).collect();
            if listed.iter().collect::<HashSet<_>>() == all.iter().collect() {
                return Self(listed);
            }
        }
        Self(all)
    }
}

/// The bases of a pair, from the radial functions of an edge and the harmonics of a pair.
fn bases(geometry: &SphereGeometry, [degrees, count]: [usize; 2], p: usize, pair: usize) -> [Vec<f64>; 2] {
    let radial = &geometry.spherical()[p * degrees * count..][..degrees * count];
    let harmonics = &geometry.harmonics().of_pairs()[pair * degrees * degrees..][..degrees * degrees];
    let product = |b: f32, y: f32| f64::from(b) * f64::from(y);
    let angle = radial.iter().enumerate().map(|(i, &b)| product(b, harmonics[(i / count).pow(2)]));
    let torsion = harmonics.iter().enumerate().flat_map(|(y, &value)| {
        radial[y % degrees * count..][..count].iter().map(move |&b| product(b, value))
    });
    [angle.collect(), torsion.collect()]
}

/// Outputs for the heads of the encoder, and how many of their numbers are clipped.
fn clipped(g: &Gaussian) -> [usize; 2] {
    let count =
        |t: &Tensor<2>, beyond: &dyn Fn(f64) -> bool| host(t).into_iter().filter(|&x| beyond(x)).count();
    [count(&g.mean, &|x| x.abs() > LARGEST_MEAN), count(&g.log_variance, &|x| x > LARGEST_LOG_VARIANCE)]
}

impl Part for Published {
    fn outputs(&self, input: &Value, reference: &BTreeMap<String, Value>) -> Result<Outputs, ParityError> {
        let input: ListedBonds = read(input)?;
        let species = input.species(MAX_ELEMENT)?;
        let (graph, edges) = input.graph()?;
        let (params, backbone) = (&self.params, &self.nearest.backbone);
        let first = |t: &Tensor<2>, rows: usize| {
            let rows: Index = edges.iter().copied().take(rows).collect();
            Output::tensor(&ops::gather(t.clone(), &rows))
        };
        let pairs = Pairs::new(&graph, &edges, reference).0;
        // The message k → j is the one of the reverse of the edge j → k.
        let of_graph =
            |[kj, ji]: [usize; 2]| (graph.reverse[edges[kj] as usize] as usize, edges[ji] as usize);
        let angle = |pair| {
            let (p, q) = of_graph(pair);
            angle_between(graph.vectors[q], graph.vectors[p])
        };
        let places = TripletPlaces::new(&graph, TorsionRule::Nearest);
        let torsion = |pair| {
            let (p, q) = of_graph(pair);
            let atom = graph.source[q] as usize;
            let around = graph.edges_from(atom);
            let at = places.ptr[atom] + (p - around.start) * around.len() + q - around.start;
            let [_, _, cos, sin] = places.values[at];
            let turn = sin.atan2(cos);
            // Without another neighbor the torsion is a full turn.
            if turn == 0.0 { 2.0 * std::f64::consts::PI } else { turn }
        };
        let (ps, qs) = graph.triplets();
        let number = |pair| {
            let (p, q) = of_graph(pair);
            ps.iter().zip(&qs).position(|(&a, &b)| (a as usize, b as usize) == (p, q))
        };
        let sizes = [backbone.config().num_spherical, backbone.config().num_radial];
        let of_pairs = |geometry: &SphereGeometry, count: usize, which: usize| {
            let all = pairs.iter().take(count).filter_map(|&pair| {
                let [angle, torsion] = bases(geometry, sizes, of_graph(pair).0, number(pair)?);
                Some(if which == 0 { angle } else { torsion })
            });
            Output::numbers(all.flatten().collect::<Vec<_>>())
        };

        let geometry = backbone.geometry(graph.clone());
        let trace = backbone.trace(params, &geometry, &species);
        let hidden = self.nearest.hidden(params, &geometry, &species);
        let raw = self.nearest.of_crystals(params, hidden.clone());
        let [means, log_variances] = clipped(&raw);
        let said = clip(raw);
        let variant = self.zero.backbone.geometry(graph.clone());
        let variant_hidden = self.zero.hidden(params, &variant, &species);
        let variant_said = clip(self.zero.of_crystals(params, variant_hidden.clone()));
        let lattice = druse_crystal::Lattice::from_rows(input.lattice)
            .map_err(|e| ParityError::Format(e.to_string()))?;
        let cell = normalized_cell(&self.scaler, &lattice, species.len());
        let cells = matrix(cell.iter().map(|&x| x as f32).collect(), 6, params.device());
        let of_cell = clip(self.nearest.of_cells(params, cells));
        let numbers =
            |i: usize, count: usize| Output::integers(pairs.iter().take(count).map(|p| p[i] as i64));
        let mut outputs = Outputs::from([
            ("encoder_num_triplets", Output::count(ps.len())),
            ("encoder_edge_length", Output::numbers(edges.iter().map(|&e| graph.lengths[e as usize]))),
            (
                "encoder_triplet_edge_kj_ji_first10",
                Output::integers(pairs.iter().take(10).flatten().map(|&e| e as i64)),
            ),
            ("encoder_triplet_edge_kj", numbers(0, pairs.len())),
            ("encoder_triplet_edge_ji", numbers(1, pairs.len())),
            ("encoder_triplet_angle", Output::angles(pairs.iter().map(|&pair| angle(pair)))),
            ("encoder_triplet_torsion", Output::angles(pairs.iter().map(|&pair| torsion(pair)))),
            ("encoder_rbf_first5_edges", first(&backbone.radial_basis(params, &geometry), 5)),
            ("encoder_sbf_first3_triplets", of_pairs(&geometry, 3, 0)),
            ("encoder_tbf_first2_triplets", of_pairs(&geometry, 2, 1)),
            ("encoder_hidden", Output::tensor(&hidden)),
            ("mu", Output::tensor(&said.mean)),
            ("logvar", Output::tensor(&said.log_variance)),
            ("mu_clipped", Output::count(means)),
            ("logvar_clipped", Output::count(log_variances)),
            ("lattice_normalised_input", Output::numbers(cell)),
            ("mu_lattice", Output::tensor(&of_cell.mean)),
            ("logvar_lattice", Output::tensor(&of_cell.log_variance)),
            ("encoder_hidden_torsion_rounding_variant", Output::tensor(&variant_hidden)),
            ("mu_torsion_rounding_variant", Output::tensor(&variant_said.mean)),
            ("logvar_torsion_rounding_variant", Output::tensor(&variant_said.log_variance)),
            ("torsion_tbf_first2_triplets_rounding_variant", of_pairs(&variant, 2, 1)),
            ("torsion_max_abs_rounding_variant", Output::angles([0.0])),
        ]);
        let mut row = |name, values: Option<&Tensor<2>>| {
            outputs.extend(values.map(|t| (name, first(t, 3))));
        };
        row("encoder_e1_initial_first3", trace.messages.first());
        row("encoder_e2_initial_first3", trace.weighted.first());
        row("encoder_e1_after_layer1_first3", trace.messages.get(1));
        outputs.extend(trace.outputs.first().map(|t| ("encoder_readout0_atom0", Output::rows(t, 1))));
        Ok(outputs)
    }
}
