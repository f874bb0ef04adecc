//! The network.

use burn::tensor::Tensor;
use druse_crystal::Structure;
use druse_nn::blocks::{GatedConvolution, Linear, WeightedEdges};
use druse_nn::ops::{self, EdgeWeights, matrix};
use druse_nn::{ParamBuilder, Params};

use super::config::{CgcnnConfig, CgcnnSizes};
use super::neighbors::{CgcnnEdges, nearest_edges};
use crate::ModelError;
use crate::property::CrystalNetwork;
use crate::property::element_vectors::{ELEMENT_CLASSES, atom_rows};
use crate::property::pooling::Pooling;

/// What the network reads of some crystals.
pub struct CgcnnInput {
    /// Vectors of the elements, (N, 92).
    atoms: Vec<f32>,
    edges: WeightedEdges,
    /// Gaussians of the distances, (E, centers).
    distances: Vec<f32>,
    pooling: Pooling,
}

/// CGCNN without its parameters.
pub struct CgcnnNetwork {
    sizes: CgcnnSizes,
    embedding: Linear,
    convolutions: Vec<GatedConvolution>,
    first: Linear,
    hidden: Vec<Linear>,
    last: Linear,
}

/// What the network computes on its way, for checks against reference values.
pub struct CgcnnTrace {
    /// Features of the atoms (N, atom) after the embedding and after each convolution.
    pub atoms: Vec<Tensor<2>>,
    /// Their means over the atoms (B, atom) after the last one.
    pub pooled: Tensor<2>,
    /// What the last layer reads (B, hidden).
    pub penultimate: Tensor<2>,
    /// The standardized property (B, 1).
    pub output: Tensor<2>,
}

impl CgcnnNetwork {
    /// What the network reads of crystals with given edges.
    ///
    /// # Errors
    /// [`ModelError::UnknownElement`].
    pub fn input(&self, structures: &[&Structure], edges: &[CgcnnEdges]) -> Result<CgcnnInput, ModelError> {
        let atoms = atom_rows(structures)?;
        let (mut center, mut neighbor) = (Vec::new(), Vec::new());
        let (mut weights, mut distances) = (Vec::new(), Vec::new());
        let mut first = 0;
        for (structure, edges) in structures.iter().zip(edges) {
            center.extend(edges.center.iter().map(|i| first + i));
            neighbor.extend(edges.neighbor.iter().map(|i| first + i));
            weights.extend_from_slice(&edges.weight);
            distances.extend_from_slice(&edges.distance);
            first += structure.len() as u32;
        }
        let weights: EdgeWeights = weights.iter().any(|&w| w != 1.0).then(|| weights.into());
        let edges = WeightedEdges { center: center.into(), neighbor: neighbor.into(), weights };
        let distances = self.gaussians(&distances);
        Ok(CgcnnInput { atoms, edges, distances, pooling: Pooling::of(structures) })
    }

    /// `exp(-(d - μ)² / w²)` for centers μ at multiples of the width w.
    fn gaussians(&self, distances: &[f64]) -> Vec<f32> {
        let (width, centers) = (self.sizes.spacing, self.sizes.centers());
        let row = |&d: &f64| (0..centers).map(move |k| (-(d / width - k as f64).powi(2)).exp() as f32);
        distances.iter().flat_map(row).collect()
    }

    /// Features of the atoms after the embedding and after each convolution, handed to `visit`; the last ones are returned.
    fn run(&self, params: &Params, input: &CgcnnInput, mut visit: impl FnMut(&Tensor<2>)) -> Tensor<2> {
        let device = params.device();
        let atoms = matrix(input.atoms.clone(), ELEMENT_CLASSES, device);
        let distances = matrix(input.distances.clone(), self.sizes.centers(), device);
        let mut x = self.embedding.forward(params, atoms);
        visit(&x);
        for convolution in &self.convolutions {
            x = convolution.forward(params, x, distances.clone(), &input.edges);
            visit(&x);
        }
        x
    }

    /// The hidden layers on the means over the atoms (B, atom).
    fn penultimate(&self, params: &Params, pooled: Tensor<2>) -> Tensor<2> {
        let first = ops::softplus(self.first.forward(params, ops::softplus(pooled)));
        self.hidden.iter().fold(first, |x, layer| ops::softplus(layer.forward(params, x)))
    }

    /// Everything on the way.
    pub fn trace(&self, params: &Params, input: &CgcnnInput) -> CgcnnTrace {
        let mut atoms = Vec::new();
        let last = self.run(params, input, |x| atoms.push(x.clone()));
        let pooled = input.pooling.mean(last);
        let penultimate = self.penultimate(params, pooled.clone());
        let output = self.output(params, penultimate.clone());
        CgcnnTrace { atoms, pooled, penultimate, output }
    }
}

impl CrystalNetwork for CgcnnNetwork {
    type Settings = CgcnnConfig;
    type Input = CgcnnInput;

    const KIND: &'static str = "cgcnn";

    /// Names are those of the published code.
    fn new(builder: &mut ParamBuilder, settings: &CgcnnConfig) -> Self {
        let sizes = settings.network.clone();
        let CgcnnSizes { atom, hidden, .. } = sizes;
        let centers = sizes.centers();
        Self {
            embedding: Linear::new(builder, "embedding", [ELEMENT_CLASSES, atom], true),
            convolutions: (0..sizes.convolutions)
                .map(|i| GatedConvolution::new(builder, &format!("convs.{i}"), atom, centers))
                .collect(),
            first: Linear::new(builder, "conv_to_fc", [atom, hidden], true),
            hidden: (0..sizes.hidden_layers - 1)
                .map(|i| Linear::new(builder, &format!("fcs.{i}"), [hidden, hidden], true))
                .collect(),
            last: Linear::new(builder, "fc_out", [hidden, 1], true),
            sizes,
        }
    }

    fn property(settings: &CgcnnConfig) -> &str {
        &settings.property
    }

    fn embedding(settings: &CgcnnConfig) -> String {
        format!("{} activations before the last layer", settings.network.hidden)
    }

    fn read(&self, structures: &[&Structure]) -> Result<CgcnnInput, ModelError> {
        let CgcnnSizes { neighbors, cutoff, .. } = self.sizes;
        let edges = structures.iter().map(|s| nearest_edges(s, neighbors, cutoff));
        self.input(structures, &edges.collect::<Result<Vec<_>, _>>()?)
    }

    fn embed(&self, params: &Params, input: &CgcnnInput) -> Tensor<2> {
        let atoms = self.run(params, input, |_| {});
        self.penultimate(params, input.pooling.mean(atoms))
    }

    fn output(&self, params: &Params, embedding: Tensor<2>) -> Tensor<2> {
        self.last.forward(params, embedding)
    }
}
