//! Generator and critic: spectral normalization, layer normalization, leaky ReLU (Alverson et al. 2024, section 2.4; sizes of
//! the published code).

use burn::tensor::{Tensor, activation};
use druse_nn::blocks::{Convolution, LayerNorm, RescaledWeight};
use druse_nn::ops::{Activation, leaky_relu};
use druse_nn::tangent::{self, Dual};
use druse_nn::{Init, ParamBuilder, Params};

use super::super::layers::{
    IMAGE, SEED, Shape, TO_IMAGE, Trace, UPWARD, geometry, keep, transposed, turned, vectors_of_volume,
    volume_of_vectors,
};
use super::config::WganConfig;

/// Added to the variance.
const EPSILON: f32 = 1e-3;
/// Slope of the activation where it is negative.
const LEAK: f32 = 0.2;

/// Convolutions of the critic.
const DOWNWARD: [Shape; 12] = [
    ([1, 1, 1], [1, 1, 1]),
    ([1, 1, 1], [1, 1, 1]),
    ([3, 3, 1], [1, 1, 1]),
    ([3, 3, 1], [1, 1, 1]),
    ([3, 3, 1], [1, 1, 1]),
    ([3, 3, 1], [1, 1, 1]),
    ([7, 7, 1], [1, 1, 1]),
    ([7, 7, 1], [1, 1, 1]),
    ([7, 7, 1], [1, 1, 1]),
    ([7, 7, 1], [1, 1, 1]),
    ([5, 5, 2], [5, 5, 1]),
    ([2, 2, 2], [2, 2, 2]),
];

/// Weights of all layers that one call reads, in their order.
pub(super) struct Kernels {
    pub weights: Vec<Tensor<2>>,
    /// What they were divided by, in training mode.
    pub divisors: Vec<Option<Tensor<2>>>,
}

/// The rescaled weights of a network.
struct Rescaled(Vec<(String, RescaledWeight)>);

impl Rescaled {
    /// The weights of so many calls in a row; see [`RescaledWeight::uses`].
    fn calls(&self, params: &Params, count: usize, note: bool) -> Vec<Kernels> {
        let mut calls: Vec<Kernels> =
            (0..count).map(|_| Kernels { weights: Vec::new(), divisors: Vec::new() }).collect();
        for (_, layer) in &self.0 {
            for (call, (weight, divisor)) in calls.iter_mut().zip(layer.uses(params, count, note)) {
                call.weights.push(weight);
                call.divisors.push(divisor);
            }
        }
        calls
    }

    /// A convolution, whose weight is (taps · in, out) as the geometry has it.
    fn conv(&mut self, builder: &mut ParamBuilder, name: String, layer: &Convolution) {
        let shape = layer.geometry().weight_shape();
        let weight = RescaledWeight::new(builder, &name, layer.weight(), shape, false);
        self.0.push((name, weight));
    }

    fn dense(&mut self, builder: &mut ParamBuilder, name: String, layer: &Dense, shape: [usize; 2]) {
        let weight = RescaledWeight::new(builder, &name, layer.weight, shape, true);
        self.0.push((name, weight));
    }
}

/// A dense layer.
struct Dense {
    weight: druse_nn::ParamId,
    bias: druse_nn::ParamId,
}

impl Dense {
    fn new(builder: &mut ParamBuilder, name: &str, [input, output]: [usize; 2]) -> Self {
        let bound = (6.0 / (input + output) as f32).sqrt();
        Self {
            weight: builder.add(format!("{name}.weight"), &[output, input], Init::Uniform(bound)),
            bias: builder.add(format!("{name}.bias"), &[output], Init::Zeros),
        }
    }
}

/// What follows a layer.
fn activate(
    params: &Params,
    [name, norm_name]: [&str; 2],
    norm: &LayerNorm,
    x: Dual,
    size: Option<[usize; 3]>,
    trace: &mut Trace<'_>,
) -> Dual {
    if trace.is_none() {
        return norm.dual(params, x, LEAK);
    }
    let x = x.value;
    keep(trace, &format!("{name} (spectral norm)"), size, &x);
    let x = norm.forward(params, x);
    keep(trace, norm_name, size, &x);
    let x = leaky_relu(x, LEAK);
    keep(trace, "LeakyReLU", size, &x);
    Dual::constant(x)
}

/// Latents to images.
pub(super) struct Generator {
    seed: (Dense, LayerNorm),
    trunk: Vec<(Convolution, LayerNorm)>,
    last: Convolution,
    rescaled: Rescaled,
}

impl Generator {
    /// Registers the tensors below `gen`.
    pub fn new(builder: &mut ParamBuilder, config: &WganConfig) -> Self {
        let mut rescaled = Rescaled(Vec::new());
        let numbers = SEED.iter().product();
        let dense = Dense::new(builder, "gen.dense0", [config.latent, numbers]);
        rescaled.dense(builder, "gen.dense0".into(), &dense, [config.latent, numbers]);
        let seed = (dense, LayerNorm::new(builder, "gen.ln0", numbers, true, EPSILON));
        let (mut size, mut features) = (turned(SEED), 1);
        let mut trunk = Vec::new();
        for (i, (&to, shape)) in config.generator.iter().zip(UPWARD).enumerate() {
            let name = format!("gen.convT{i}");
            let layer = Convolution::new(builder, &name, transposed(size, [features, to], shape), true);
            rescaled.conv(builder, name, &layer);
            (size, features) = (layer.out_size(), to);
            let norm = LayerNorm::new(builder, &format!("gen.ln{}", i + 1), to, true, EPSILON);
            trunk.push((layer, norm));
        }
        let name = "gen.conv0".to_owned();
        let last = Convolution::new(builder, &name, geometry(size, [features, 1], TO_IMAGE), false);
        rescaled.conv(builder, name, &last);
        Self { seed, trunk, last, rescaled }
    }

    /// The weights of so many calls in a row.
    pub fn calls(&self, params: &Params, count: usize, note: bool) -> Vec<Kernels> {
        self.rescaled.calls(params, count, note)
    }

    /// Names of the layers whose weights are rescaled.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.rescaled.0.iter().map(|(name, _)| name.as_str())
    }

    /// Images of latents (batch, latent): (batch · pixels, 1), pixels in the order channel, row, column.
    pub fn forward(
        &self,
        params: &Params,
        kernels: &Kernels,
        latents: Tensor<2>,
        mut trace: Trace<'_>,
    ) -> Tensor<2> {
        let mut weights = kernels.weights.iter().cloned();
        let mut weight = || weights.next();
        let (dense, norm) = &self.seed;
        let names: Vec<&str> = self.layers().collect();
        let first = weight().unwrap_or_else(|| params.get(dense.weight));
        let x = druse_nn::ops::affine(latents, first, params.get(dense.bias), Activation::Identity);
        let x = activate(params, [names[0], "gen.ln0"], norm, Dual::constant(x), None, &mut trace).value;
        let mut x = volume_of_vectors(x, SEED);
        keep(&mut trace, "Reshape", Some(turned(SEED)), &x);
        for (i, (layer, norm)) in self.trunk.iter().enumerate() {
            x = layer.forward(params, weight(), x);
            let size = Some(layer.out_size());
            let names = [names[i + 1], &format!("gen.ln{}", i + 1)];
            x = activate(params, names, norm, Dual::constant(x), size, &mut trace).value;
        }
        let x = activation::sigmoid(self.last.forward(params, weight(), x));
        keep(&mut trace, "gen.conv0 (spectral norm)", Some(turned(IMAGE)), &x);
        x
    }
}

/// Images to numbers.
pub(super) struct Critic {
    trunk: Vec<(Convolution, LayerNorm)>,
    last: Dense,
    features: usize,
    rescaled: Rescaled,
}

impl Critic {
    /// Registers the tensors below `critic`.
    pub fn new(builder: &mut ParamBuilder, config: &WganConfig) -> Self {
        let mut rescaled = Rescaled(Vec::new());
        let (mut size, mut features) = (turned(IMAGE), 1);
        let mut trunk = Vec::new();
        for (i, (&to, shape)) in config.critic.iter().zip(DOWNWARD).enumerate() {
            let name = format!("critic.conv{i}");
            let layer = Convolution::new(builder, &name, geometry(size, [features, to], shape), false);
            rescaled.conv(builder, name, &layer);
            (size, features) = (layer.out_size(), to);
            trunk.push((layer, LayerNorm::new(builder, &format!("critic.ln{i}"), to, true, EPSILON)));
        }
        let features = features * size.iter().product::<usize>();
        let last = Dense::new(builder, "critic.dense0", [features, 1]);
        rescaled.dense(builder, "critic.dense0".into(), &last, [features, 1]);
        Self { trunk, last, features, rescaled }
    }

    /// Numbers in front of the last layer.
    pub fn features(&self) -> usize {
        self.features
    }

    /// The weights of so many calls in a row.
    pub fn calls(&self, params: &Params, count: usize, note: bool) -> Vec<Kernels> {
        self.rescaled.calls(params, count, note)
    }

    /// Names of the layers whose weights are rescaled.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.rescaled.0.iter().map(|(name, _)| name.as_str())
    }

    /// What the critic thinks (batch, 1) of images as [`Generator::forward`] makes them. `kept` multiplies the numbers in
    /// front of the last layer.
    pub fn forward(
        &self,
        params: &Params,
        kernels: &Kernels,
        images: Dual,
        kept: Option<Tensor<2>>,
        mut trace: Trace<'_>,
    ) -> Dual {
        let mut weights = kernels.weights.iter().cloned();
        let mut x = images;
        for (i, (layer, norm)) in self.trunk.iter().enumerate() {
            x = layer.dual(params, weights.next(), x);
            let size = Some(layer.out_size());
            let names = [&*format!("critic.conv{i}"), &*format!("critic.ln{i}")];
            x = activate(params, names, norm, x, size, &mut trace);
        }
        let [depth, rows, columns] = self.trunk.last().map_or([1; 3], |(layer, _)| layer.out_size());
        let mut x = x.linear(|x| vectors_of_volume(x, [rows, columns, depth]));
        keep(&mut trace, "Flatten", None, &x.value);
        if let Some(kept) = kept {
            x = x.linear(|x| x * kept.clone());
        }
        keep(&mut trace, "Dropout", None, &x.value);
        let weight = weights.next().unwrap_or_else(|| params.get(self.last.weight));
        let x = tangent::affine(x, weight, params.get(self.last.bias), Activation::Identity);
        keep(&mut trace, "critic.dense0 (spectral norm)", None, &x.value);
        x
    }
}
