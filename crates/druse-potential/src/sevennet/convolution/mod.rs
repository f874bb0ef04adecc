//! Messages along edges: tensor products of features and spherical harmonics, weighted by the distance, and their
//! derivatives.

mod first;
mod kernels;

use druse_nn::arch::{fuses, vectorized};

pub(super) use self::first::FirstConvolution;
use self::kernels::{Given, LANES, Sizes};
use super::config::{Path, Paths};
use super::coupling::coefficients;
use super::graph::{Batch, Portion};
use super::harmonics::{MAX_COMPONENTS, begin, components};
use super::layout::Layout;
use super::real::Real;

/// Radial weights of a portion of atoms and their slopes, a row for each of its distances.
#[derive(Debug, Default)]
pub(super) struct RadialRows<R> {
    pub values: Vec<R>,
    pub slopes: Vec<R>,
}

/// Gradients of the energy in the lengths and the harmonics of edges, summed over blocks.
#[derive(Debug)]
pub(super) struct EdgeGradients<'a, R> {
    pub length: &'a mut [R],
    pub harmonics: &'a mut [R],
}

/// The tensor product of a block, with the sum over the edges of an atom.
#[derive(Debug)]
pub(super) struct Convolution<R> {
    paths: Vec<Plan<R>>,
    terms: Vec<Term<R>>,
    features: Layout,
    messages: Layout,
    weights: usize,
    degree: usize,
    /// Entries of all paths' matrices.
    entries: usize,
    /// Most entries of one path's matrix.
    largest: usize,
}

/// A path with its matrix over components of messages and features, which depends on the direction alone.
#[derive(Debug)]
struct Plan<R> {
    path: Path,
    sizes: Sizes,
    /// Where its matrix begins.
    matrix: usize,
    /// Its part of the terms.
    terms: std::ops::Range<usize>,
    /// The matrix is this times the identity (harmonics of degree 0).
    factor: R,
}

/// `matrix[entry] += value · harmonics[component]`.
#[derive(Debug, Clone, Copy)]
struct Term<R> {
    entry: u32,
    component: u32,
    value: R,
    /// The value for the opposite direction.
    reversed: R,
}

impl<R: Real> Convolution<R> {
    pub fn new(features: &Layout, paths: &Paths, degree: usize) -> Self {
        let (mut plans, mut terms, mut entries, mut largest) = (Vec::new(), Vec::new(), 0, 0);
        for &path in &paths.list {
            let sizes = Sizes {
                features: 2 * path.l1 + 1,
                messages: 2 * path.l3 + 1,
                channels: path.channels,
                stride: paths.messages.channels()[path.l3],
            };
            let norm = (sizes.messages as f64).sqrt();
            let first = terms.len();
            let mut factor = R::default();
            for ([i, j, k], value) in coefficients([path.l1, path.l2, path.l3]) {
                let value = norm * value;
                if path.l2 == 0 {
                    factor = R::narrow(value);
                    continue;
                }
                terms.push(Term {
                    entry: (entries + k * sizes.features + i) as u32,
                    component: (begin(path.l2) + j) as u32,
                    value: R::narrow(value),
                    reversed: R::narrow(if path.l2 % 2 == 0 { value } else { -value }),
                });
            }
            let size = if path.l2 == 0 { 0 } else { sizes.features * sizes.messages };
            plans.push(Plan { path, sizes, matrix: entries, terms: first..terms.len(), factor });
            entries += size;
            largest = largest.max(size);
        }
        let (features, messages) = (features.clone(), paths.messages.clone());
        Self { paths: plans, terms, features, messages, weights: paths.weights, degree, entries, largest }
    }

    /// Writes the sums of messages to the atoms of a portion, given the features of all atoms.
    pub fn forward(
        &self,
        batch: &Batch<R>,
        portion: &Portion,
        features: &[R],
        radial: &RadialRows<R>,
        out: &mut [R],
    ) {
        if fuses() {
            vectorized!(self.run_forward::<true>(batch, portion, features, radial, out));
        } else {
            vectorized!(self.run_forward::<false>(batch, portion, features, radial, out));
        }
    }

    #[inline(always)]
    fn run_forward<const FUSED: bool>(
        &self,
        batch: &Batch<R>,
        portion: &Portion,
        features: &[R],
        radial: &RadialRows<R>,
        out: &mut [R],
    ) {
        let components = components(self.degree);
        let mut matrices = vec![R::default(); self.entries];
        out.fill(R::default());
        for (atom, out) in portion.atoms.clone().zip(out.chunks_exact_mut(self.messages.width())) {
            for edge in batch.ptr[atom]..batch.ptr[atom + 1] {
                let harmonics = &batch.harmonics[edge * components..][..components];
                matrices.fill(R::default());
                for term in &self.terms {
                    let entry = &mut matrices[term.entry as usize];
                    *entry += term.value * harmonics[term.component as usize];
                }
                let row = portion.row[edge - portion.edges.start] as usize;
                let weights = &radial.values[row * self.weights..][..self.weights];
                let width = self.features.width();
                let sender = &features[batch.sender[edge] as usize * width..][..width];
                for plan in &self.paths {
                    let (path, sizes) = (plan.path, plan.sizes);
                    let x = &sender[self.features.range(path.l1)];
                    let w = &weights[path.weight..][..path.channels];
                    let out = &mut out[self.messages.offset(path.l3) + path.slot..];
                    let matrix = &matrices[plan.matrix..];
                    if path.l2 == 0 {
                        kernels::send_as_is::<R, FUSED>(sizes, x, w, plan.factor, out);
                    } else if path.l1 == 0 {
                        kernels::send_scalars::<R, FUSED>(sizes, x, w, matrix, out);
                    } else {
                        kernels::send::<R, FUSED>(sizes, x, w, matrix, out);
                    }
                }
            }
        }
    }

    /// The backward pass for what the atoms of a portion send: writes the gradients of their features and adds those of
    /// the edges, given the gradients `messages` of all atoms' sums.
    ///
    /// An atom's edges in reverse are those by which it sends, and have the same length and the opposite direction.
    pub fn backward(
        &self,
        batch: &Batch<R>,
        portion: &Portion,
        [features, messages]: [&[R]; 2],
        radial: &RadialRows<R>,
        gradient: &mut [R],
        edges: &mut EdgeGradients<'_, R>,
    ) {
        if fuses() {
            vectorized!(self.run_backward::<true>(
                batch,
                portion,
                [features, messages],
                radial,
                gradient,
                edges
            ));
        } else {
            vectorized!(self.run_backward::<false>(
                batch,
                portion,
                [features, messages],
                radial,
                gradient,
                edges
            ));
        }
    }

    #[inline(always)]
    fn run_backward<const FUSED: bool>(
        &self,
        batch: &Batch<R>,
        portion: &Portion,
        [features, messages]: [&[R]; 2],
        radial: &RadialRows<R>,
        gradient: &mut [R],
        edges: &mut EdgeGradients<'_, R>,
    ) {
        let components = components(self.degree);
        let mut matrices = vec![R::default(); self.entries];
        let mut pairs = vec![[R::default(); LANES]; self.largest];
        let width = self.features.width();
        gradient.fill(R::default());
        for (atom, gradient) in portion.atoms.clone().zip(gradient.chunks_exact_mut(width)) {
            let own = &features[atom * width..][..width];
            for edge in batch.ptr[atom]..batch.ptr[atom + 1] {
                let harmonics = &batch.harmonics[edge * components..][..components];
                matrices.fill(R::default());
                for term in &self.terms {
                    let entry = &mut matrices[term.entry as usize];
                    *entry += term.reversed * harmonics[term.component as usize];
                }
                let at = edge - portion.edges.start;
                let row = portion.row[at] as usize * self.weights;
                let (values, slopes) = (&radial.values[row..], &radial.slopes[row..]);
                let receiver = batch.sender[edge] as usize * self.messages.width();
                let received = &messages[receiver..][..self.messages.width()];
                let mut length = [R::default(); LANES];
                let mut turned = [[R::default(); LANES]; MAX_COMPONENTS];
                for plan in &self.paths {
                    let (path, sizes) = (plan.path, plan.sizes);
                    let range = self.features.range(path.l1);
                    let given = Given {
                        x: &own[range.clone()],
                        w: &values[path.weight..][..path.channels],
                        slope: &slopes[path.weight..][..path.channels],
                        y: &received[self.messages.offset(path.l3) + path.slot..],
                    };
                    let gradient = &mut gradient[range];
                    if path.l2 == 0 {
                        kernels::receive_as_is::<R, FUSED>(sizes, given, plan.factor, gradient, &mut length);
                        continue;
                    }
                    let matrix = &matrices[plan.matrix..];
                    kernels::receive::<R, FUSED>(sizes, given, matrix, gradient, &mut length, &mut pairs);
                    for term in &self.terms[plan.terms.clone()] {
                        let pair = &pairs[term.entry as usize - plan.matrix];
                        let sums = &mut turned[term.component as usize];
                        for (sum, &pair) in sums.iter_mut().zip(pair) {
                            *sum += term.reversed * pair;
                        }
                    }
                }
                edges.length[at] += kernels::total(&length);
                let turns = edges.harmonics[at * components..][..components].iter_mut();
                turns.zip(&turned).for_each(|(sum, turned)| *sum += kernels::total(turned));
            }
        }
    }
}
