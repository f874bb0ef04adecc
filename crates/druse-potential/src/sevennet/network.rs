//! The network: parameters in the form in which they are used.

use super::config::Config;
use super::convolution::{Convolution, FirstConvolution};
use super::gate::Gate;
use super::layout::Layout;
use super::linear::Linear;
use super::radial::{Radial, RadialWeights};
use super::weights::{Weights, names};
use crate::real::Real;

/// A network in 32 or 64 bits.
///
/// What is constant is multiplied into its matrices: roots of numbers of channels, the denominators of sums, the factor of
/// activations, √(2l + 1) of messages.
#[derive(Debug)]
pub(super) struct Network<R: Real> {
    pub config: Config,
    /// Row of each element in the weights, by atomic number.
    pub types: [Option<u8>; 128],
    pub first: First<R>,
    /// Blocks from the second on.
    pub blocks: Vec<Block<R>>,
    pub readout: Readout<R>,
}

/// The first block: its features depend on the element alone.
#[derive(Debug)]
pub(super) struct First<R: Real> {
    /// The self connection's result for each element.
    pub self_connection: Vec<R>,
    pub convolution: FirstConvolution<R>,
    pub radial: RadialWeights<R>,
    pub after: Linear<R>,
    pub gate: Gate,
    pub sizes: Sizes,
}

/// A block from the second on.
#[derive(Debug)]
pub(super) struct Block<R: Real> {
    pub self_connection: Linear<R>,
    pub before: Linear<R>,
    pub convolution: Convolution<R>,
    pub radial: RadialWeights<R>,
    pub after: Linear<R>,
    pub gate: Gate,
    pub sizes: Sizes,
}

/// Numbers of one atom in a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub features: usize,
    pub messages: usize,
    pub gated: usize,
    pub output: usize,
}

/// The energy of an atom: a linear function of its scalars, scaled and shifted for its element.
#[derive(Debug)]
pub(super) struct Readout<R> {
    pub weights: Vec<R>,
    pub scale: Vec<f64>,
    pub shift: Vec<f64>,
}

impl<R: Real> Network<R> {
    pub fn new(weights: &Weights, radial: Radial) -> Self {
        let config = weights.config().clone();
        let mut types = [None; 128];
        for (row, element) in config.elements.iter().enumerate() {
            types[usize::from(element.z())] = Some(row as u8);
        }
        let blocks = (1..config.blocks).map(|t| block(weights, &config, t, radial)).collect();
        let first = first(weights, &config, radial);
        let readout = readout(weights, &config);
        Self { config, types, first, blocks, readout }
    }
}

fn sizes(config: &Config, t: usize) -> Sizes {
    Sizes {
        features: config.input(t).width(),
        messages: config.paths(t).messages.width(),
        gated: config.gated(t).width(),
        output: config.output(t).width(),
    }
}

fn after<R: Real>(weights: &Weights, config: &Config, t: usize) -> Linear<R> {
    let denominator = weights.get(&names::denominator(t))[0];
    Linear::new(
        &weights.get(&names::after(t)),
        &config.paths(t).messages,
        &config.gated(t),
        1.0 / denominator,
    )
}

fn first<R: Real>(weights: &Weights, config: &Config, radial: Radial) -> First<R> {
    let elements = config.elements.len();
    let embedding = weights.get(names::EMBEDDING);
    let scalars = config.input(0);
    let norm = 1.0 / (elements as f64).sqrt();
    let rows: Vec<f64> = embedding.iter().map(|x| norm * x).collect();
    let map = |name: &str, to: &Layout| {
        let linear = Linear::<f64>::new(&weights.get(name), &scalars, to, 1.0);
        let mut out = vec![0.0; elements * to.width()];
        linear.apply(&rows, &mut out, false);
        out.into_iter().map(R::narrow).collect::<Vec<R>>()
    };
    let features = map(&names::before(0), &scalars);
    First {
        self_connection: map(&names::self_connection(0), &config.gated(0)),
        convolution: FirstConvolution::new(features, &config.paths(0).messages),
        radial: RadialWeights::new(weights, config, 0, radial),
        after: after(weights, config, 0),
        gate: Gate::new(&config.gated(0), &config.output(0)),
        sizes: sizes(config, 0),
    }
}

fn block<R: Real>(weights: &Weights, config: &Config, t: usize, radial: Radial) -> Block<R> {
    let input = config.input(t);
    let linear = |name: &str, to: &Layout| Linear::new(&weights.get(name), &input, to, config.silu_scale);
    Block {
        self_connection: linear(&names::self_connection(t), &config.gated(t)),
        before: linear(&names::before(t), &input),
        convolution: Convolution::new(&input, &config.paths(t), config.max_degree()),
        radial: RadialWeights::new(weights, config, t, radial),
        after: after(weights, config, t),
        gate: Gate::new(&config.gated(t), &config.output(t)),
        sizes: sizes(config, t),
    }
}

fn readout<R: Real>(weights: &Weights, config: &Config) -> Readout<R> {
    let (rows, width) = (config.channels[0], config.readout_width);
    let (to_hidden, to_energy) = (weights.get(names::TO_HIDDEN), weights.get(names::TO_ENERGY));
    let norm = config.silu_scale / ((rows * width) as f64).sqrt();
    let dot = |row: &[f64]| row.iter().zip(&to_energy).map(|(a, b)| a * b).sum::<f64>();
    Readout {
        weights: to_hidden.chunks_exact(width).map(|row| R::narrow(norm * dot(row))).collect(),
        scale: weights.get(names::SCALE),
        shift: weights.get(names::SHIFT),
    }
}

impl<R: Real> Readout<R> {
    /// Energy (eV) of an atom of some element with the given scalars.
    pub fn energy(&self, x: &[R], element: u8) -> f64 {
        let element = usize::from(element);
        let sum: f64 = x.iter().zip(&self.weights).map(|(x, w)| x.wide() * w.wide()).sum();
        self.scale[element] * sum + self.shift[element]
    }

    /// Writes the gradient of the energy in the scalars.
    pub fn gradient(&self, x: &mut [R], element: u8) {
        let scale = R::narrow(self.scale[usize::from(element)]);
        x.iter_mut().zip(&self.weights).for_each(|(x, &w)| *x = scale * w);
    }
}
