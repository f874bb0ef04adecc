//! Generator and discriminator (Alverson et al. 2024, section 2.4; sizes of the published code).

use burn::tensor::{Tensor, activation};
use druse_nn::blocks::{BatchNorm, Convolution, Linear};
use druse_nn::ops::leaky_relu;
use druse_nn::{Init, ParamBuilder, Params};

use super::super::layers::{
    IMAGE, SEED, Shape, TO_IMAGE, Trace, UPWARD, add_plane, geometry, keep, transposed, turned,
    vectors_of_volume, volume_of_vectors,
};
use super::config::GanConfig;

/// Weight of the latest statistics in the running ones.
const MOMENTUM: f64 = 0.01;
/// Added to the variance.
const EPSILON: f64 = 1e-3;
/// Slope of the discriminator's activation where it is negative.
const LEAK: f32 = 0.2;

/// Convolutions of the discriminator.
const DOWNWARD: [Shape; 11] = [
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
/// Transposed convolutions behind which the generator adds a plane.
const PLANES_AFTER: [usize; 4] = [2, 5, 7, 8];
/// The convolution behind which the discriminator adds a plane; it adds another one behind the last.
const PLANE_AFTER: usize = 8;

/// Batch normalization and activation of one network.
struct Style {
    name: &'static str,
    slope: f32,
    activation: &'static str,
    /// Whether running variances behind convolutions are biased, as behind dense layers; the published 32-bit run uses the
    /// unbiased ones there.
    biased: bool,
}

/// A layer with batch normalization, and the name of the pair.
struct Normalized<L> {
    layer: L,
    norm: BatchNorm,
    names: [String; 2],
}

/// Numbers layers as the publication does.
#[derive(Default)]
struct Numbers {
    dense: usize,
    conv: usize,
    norm: usize,
}

impl Style {
    fn norm(
        &self,
        builder: &mut ParamBuilder,
        numbers: &mut Numbers,
        features: usize,
        dense: bool,
    ) -> (String, BatchNorm) {
        let name = format!("{}.bn{}", self.name, numbers.norm);
        numbers.norm += 1;
        let norm = BatchNorm::with_constants(builder, &name, features, MOMENTUM, EPSILON);
        (name, if dense || self.biased { norm.with_biased_variance() } else { norm })
    }

    fn dense(
        &self,
        builder: &mut ParamBuilder,
        numbers: &mut Numbers,
        [input, output]: [usize; 2],
    ) -> Normalized<Linear> {
        let name = format!("{}.dense{}", self.name, numbers.dense);
        numbers.dense += 1;
        let layer = glorot(builder, &name, [input, output]);
        let (norm_name, norm) = self.norm(builder, numbers, output, true);
        Normalized { layer, norm, names: [name, norm_name] }
    }

    fn conv(
        &self,
        builder: &mut ParamBuilder,
        numbers: &mut Numbers,
        size: [usize; 3],
        features: [usize; 2],
        shape: Shape,
        up: bool,
    ) -> Normalized<Convolution> {
        let kind = if up { "convT" } else { "conv" };
        let name = format!("{}.{kind}{}", self.name, numbers.conv);
        numbers.conv += 1;
        let geometry = if up { transposed(size, features, shape) } else { geometry(size, features, shape) };
        let layer = Convolution::new(builder, &name, geometry, up);
        let (norm_name, norm) = self.norm(builder, numbers, features[1], false);
        Normalized { layer, norm, names: [name, norm_name] }
    }

    /// Batch normalization and activation.
    fn activate<L>(
        &self,
        params: &Params,
        layer: &Normalized<L>,
        x: Tensor<2>,
        of_batch: bool,
        size: Option<[usize; 3]>,
        trace: &mut Trace<'_>,
    ) -> Tensor<2> {
        if trace.is_none() {
            return layer.norm.forward_as(params, x, of_batch, self.slope);
        }
        keep(trace, &layer.names[0], size, &x);
        let x = layer.norm.forward_as(params, x, of_batch, 1.0);
        keep(trace, &layer.names[1], size, &x);
        let x = leaky_relu(x, self.slope);
        keep(trace, self.activation, size, &x);
        x
    }
}

/// A dense layer as Keras begins it.
fn glorot(builder: &mut ParamBuilder, name: &str, [input, output]: [usize; 2]) -> Linear {
    let bound = (6.0 / (input + output) as f32).sqrt();
    Linear::with_init(builder, name, [input, output], Init::Uniform(bound), Some(Init::Zeros))
}

/// Latents to images.
pub(super) struct Generator {
    style: Style,
    seed: Normalized<Linear>,
    trunk: Vec<Normalized<Convolution>>,
    planes: [Vec<Normalized<Linear>>; 4],
    last: Convolution,
    last_name: String,
}

impl Generator {
    /// Registers the tensors below `gen`.
    pub fn new(builder: &mut ParamBuilder, config: &GanConfig, biased: bool) -> Self {
        let style = Style { name: "gen", slope: 0.0, activation: "ReLU", biased };
        let mut n = Numbers::default();
        let mut width = config.latent;
        let mut stage = |builder: &mut ParamBuilder, n: &mut Numbers, k: usize, plane: usize| {
            let widths = config.generator_planes[k].iter().copied().chain([plane]);
            widths
                .map(|to| style.dense(builder, n, [std::mem::replace(&mut width, to), to]))
                .collect::<Vec<_>>()
        };
        let mut trunk: Vec<Normalized<Convolution>> = Vec::new();
        let (mut size, mut features) = (turned(SEED), 1);
        let mut upward = |builder: &mut ParamBuilder, n: &mut Numbers, to: usize| {
            while trunk.len() <= to {
                let i = trunk.len();
                let layer = style.conv(builder, n, size, [features, config.generator[i]], UPWARD[i], true);
                (size, features) = (layer.layer.out_size(), config.generator[i]);
                trunk.push(layer);
            }
        };
        // In the order of the published source, which numbers the layers.
        let first = stage(builder, &mut n, 0, 22 * 22);
        let seed = style.dense(builder, &mut n, [config.latent, SEED.iter().product()]);
        upward(builder, &mut n, PLANES_AFTER[0]);
        let second = stage(builder, &mut n, 1, 28 * 28);
        upward(builder, &mut n, PLANES_AFTER[1]);
        let third = stage(builder, &mut n, 2, 32 * 32);
        upward(builder, &mut n, PLANES_AFTER[2]);
        let fourth = stage(builder, &mut n, 3, 64 * 64);
        upward(builder, &mut n, PLANES_AFTER[3]);
        let last_name = "gen.conv0".to_owned();
        let last = Convolution::new(builder, &last_name, geometry(size, [features, 1], TO_IMAGE), false);
        Self { seed, trunk, planes: [first, second, third, fourth], last, last_name, style }
    }

    /// Images of latents (batch, latent): (batch · pixels, 1), pixels in the order channel, row, column. With `of_batch`
    /// layers are normalized by the statistics of the batch.
    pub fn forward(
        &self,
        params: &Params,
        latents: Tensor<2>,
        of_batch: bool,
        mut trace: Trace<'_>,
    ) -> Tensor<2> {
        let mut plane = latents.clone();
        let x = self.seed.layer.forward(params, latents);
        let x = self.style.activate(params, &self.seed, x, of_batch, None, &mut trace);
        let mut x = volume_of_vectors(x, SEED);
        keep(&mut trace, "Reshape", Some(turned(SEED)), &x);
        for (i, layer) in self.trunk.iter().enumerate() {
            let size = layer.layer.out_size();
            x = layer.layer.forward(params, None, x);
            x = self.style.activate(params, layer, x, of_batch, Some(size), &mut trace);
            let Some(k) = PLANES_AFTER.iter().position(|&after| after == i) else { continue };
            for layer in &self.planes[k] {
                plane = layer.layer.forward(params, plane);
                plane = self.style.activate(params, layer, plane, of_batch, None, &mut trace);
            }
            let pixels = plane.clone().reshape([-1, 1]);
            keep(&mut trace, "Reshape", Some([1, size[1], size[2]]), &pixels);
            x = add_plane(x, plane.clone(), size);
            keep(&mut trace, "add", Some(size), &x);
        }
        let x = activation::sigmoid(self.last.forward(params, None, x));
        keep(&mut trace, &self.last_name, Some(turned(IMAGE)), &x);
        x
    }
}

/// Images to logits.
pub(super) struct Discriminator {
    style: Style,
    plane: Vec<Normalized<Linear>>,
    trunk: Vec<Normalized<Convolution>>,
    small_plane: Normalized<Linear>,
    last: Linear,
    last_name: String,
    features: usize,
}

impl Discriminator {
    /// Registers the tensors below `disc`.
    pub fn new(builder: &mut ParamBuilder, config: &GanConfig, biased: bool) -> Self {
        let style = Style { name: "disc", slope: LEAK, activation: "LeakyReLU", biased };
        let mut n = Numbers::default();
        let mut width = IMAGE.iter().product();
        let widths = config.discriminator_plane.iter().copied().chain([32 * 32]);
        let plane = widths
            .map(|to| style.dense(builder, &mut n, [std::mem::replace(&mut width, to), to]))
            .collect::<Vec<_>>();
        let mut trunk: Vec<Normalized<Convolution>> = Vec::new();
        let (mut size, mut features) = (turned(IMAGE), 1);
        let mut small_plane = None;
        for (i, &to) in config.discriminator.iter().enumerate() {
            let layer = style.conv(builder, &mut n, size, [features, to], DOWNWARD[i], false);
            (size, features) = (layer.layer.out_size(), to);
            trunk.push(layer);
            if i == PLANE_AFTER {
                small_plane = Some(style.dense(builder, &mut n, [32 * 32, 9]));
            }
        }
        let last_name = format!("disc.dense{}", n.dense);
        let inputs = size.iter().product::<usize>() * features;
        let last = glorot(builder, &last_name, [inputs, 1]);
        let small_plane = small_plane.expect("there are more convolutions than those before the plane");
        Self { plane, trunk, small_plane, last, last_name, features: inputs, style }
    }

    /// Numbers in front of the last layer.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Logits (batch, 1) of being real, of images as [`Generator::forward`] makes them. `kept` multiplies the numbers in
    /// front of the last layer.
    pub fn forward(
        &self,
        params: &Params,
        images: Tensor<2>,
        of_batch: bool,
        kept: Option<Tensor<2>>,
        mut trace: Trace<'_>,
    ) -> Tensor<2> {
        let mut plane = vectors_of_volume(images.clone(), IMAGE);
        keep(&mut trace, "Flatten", None, &plane);
        for layer in &self.plane {
            plane = layer.layer.forward(params, plane);
            plane = self.style.activate(params, layer, plane, of_batch, None, &mut trace);
        }
        let mut x = images;
        for (i, layer) in self.trunk.iter().enumerate() {
            let size = layer.layer.out_size();
            x = layer.layer.forward(params, None, x);
            x = self.style.activate(params, layer, x, of_batch, Some(size), &mut trace);
            if i == PLANE_AFTER || i + 1 == self.trunk.len() {
                if i != PLANE_AFTER {
                    plane = self.small_plane.layer.forward(params, plane);
                    plane = self.style.activate(params, &self.small_plane, plane, of_batch, None, &mut trace);
                }
                keep(&mut trace, "Reshape", Some([1, size[1], size[2]]), &plane.clone().reshape([-1, 1]));
                x = add_plane(x, plane.clone(), size);
                keep(&mut trace, "add", Some(size), &x);
            }
        }
        let [depth, rows, columns] = self.trunk.last().map_or([1; 3], |layer| layer.layer.out_size());
        let mut x = vectors_of_volume(x, [rows, columns, depth]);
        keep(&mut trace, "Flatten", None, &x);
        if let Some(kept) = kept {
            x = x * kept;
        }
        keep(&mut trace, "Dropout", None, &x);
        let logits = self.last.forward(params, x);
        if trace.is_some() {
            keep(&mut trace, &self.last_name, None, &activation::sigmoid(logits.clone()));
        }
        logits
    }
}
