//! Forward and backward pass of a tensor product, edge by edge.
//!
//! The matrix of a path over components of messages and features is the same for all channels: it is made once for each
//! edge, from the 3j coefficients and the harmonics.
#![allow(clippy::needless_range_loop, reason = "counted loops are not left out of line")]

use pulp::{Simd, WithSimd};

use super::kernels::{Given, Kernels, Sizes};
use super::{Convolution, EdgeGradients, Plan, RadialRows, Term};
use crate::real::{Real, lanes};
use crate::sevennet::config::MAX_DEGREE;
use crate::sevennet::graph::{Batch, Portion};
use crate::sevennet::harmonics::{MAX_COMPONENTS, components};
use crate::sevennet::layout::GROUP;

/// Entries of the matrix of a path at most.
const MAX_ENTRIES: usize = (2 * MAX_DEGREE + 1) * (2 * MAX_DEGREE + 1);

/// The arguments of [`Convolution::forward`].
pub(super) struct Forward<'a, R: Real> {
    pub plan: &'a Convolution<R>,
    pub batch: &'a Batch<R>,
    pub portion: &'a Portion,
    pub features: &'a [R],
    pub radial: &'a RadialRows<R>,
    pub out: &'a mut [R],
}

/// The arguments of [`Convolution::backward`].
pub(super) struct Backward<'a, 'e, R: Real> {
    pub plan: &'a Convolution<R>,
    pub batch: &'a Batch<R>,
    pub portion: &'a Portion,
    pub features: &'a [R],
    pub messages: &'a [R],
    pub radial: &'a RadialRows<R>,
    pub gradient: &'a mut [R],
    pub edges: &'a mut EdgeGradients<'e, R>,
}

impl<R: Real> Convolution<R> {
    /// Sizes of a path in vectors of so many numbers.
    #[inline(always)]
    fn sizes(&self, plan: &Plan<R>, lanes: usize) -> Sizes {
        Sizes {
            features: 2 * plan.path.l1 + 1,
            messages: 2 * plan.path.l3 + 1,
            channels: plan.path.channels / lanes,
            stride: self.messages.channels()[plan.path.l3] / lanes,
        }
    }

    /// Writes the matrices of all paths for a direction, or for the opposite one.
    #[inline(always)]
    fn fill(&self, matrices: &mut [R], harmonics: &[R], value: impl Fn(&Term<R>) -> R) {
        for entry in 0..matrices.len() {
            matrices[entry] = R::default();
        }
        for at in 0..self.terms.len() {
            let term = &self.terms[at];
            matrices[term.entry as usize] += value(term) * harmonics[term.component as usize];
        }
    }
}

impl<R: Real> WithSimd for Forward<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if lanes::<R, S>() * 4 <= GROUP {
            self.run(Kernels::<R, S, 4>::new(simd));
        } else {
            self.run(Kernels::<R, S, 2>::new(simd));
        }
    }
}

impl<R: Real> Forward<'_, R> {
    #[inline(always)]
    fn run<S: Simd, const T: usize>(self, kernels: Kernels<R, S, T>) {
        let Self { plan, batch, portion, features, radial, out } = self;
        let (lanes, components) = (lanes::<R, S>(), components(plan.degree));
        let (width, size) = (plan.features.width(), plan.messages.width());
        let mut matrices = vec![R::default(); plan.entries];
        for atom in portion.atoms.start..portion.atoms.end {
            let out = &mut out[(atom - portion.atoms.start) * size..][..size];
            let out = R::vectors_mut::<S>(out);
            for v in 0..out.len() {
                out[v] = kernels.zero();
            }
            for edge in batch.ptr[atom]..batch.ptr[atom + 1] {
                let harmonics = &batch.harmonics[edge * components..][..components];
                plan.fill(
                    &mut matrices,
                    harmonics,
                    #[inline(always)]
                    |term| term.value,
                );
                let row = portion.row[edge - portion.edges.start] as usize * plan.weights;
                let weights = R::vectors::<S>(&radial.values[row..row + plan.weights]);
                let sender = batch.sender[edge] as usize * width;
                let sender = R::vectors::<S>(&features[sender..sender + width]);
                for at in 0..plan.paths.len() {
                    let own = &plan.paths[at];
                    let (path, sizes) = (own.path, plan.sizes(own, lanes));
                    let x = &sender[plan.features.offset(path.l1) / lanes..];
                    let w = &weights[path.weight / lanes..];
                    let out = &mut out[(plan.messages.offset(path.l3) + path.slot) / lanes..];
                    let matrix = &matrices[own.matrix..];
                    if path.l2 == 0 {
                        kernels.send_as_is(sizes, x, w, own.factor, out);
                    } else if path.l1 == 0 {
                        kernels.send_scalars(sizes, x, w, matrix, out);
                    } else {
                        kernels.send(sizes, x, w, matrix, out);
                    }
                }
            }
        }
    }
}

impl<R: Real> WithSimd for Backward<'_, '_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if lanes::<R, S>() * 4 <= GROUP {
            self.run(Kernels::<R, S, 4>::new(simd));
        } else {
            self.run(Kernels::<R, S, 2>::new(simd));
        }
    }
}

impl<R: Real> Backward<'_, '_, R> {
    #[inline(always)]
    fn run<S: Simd, const T: usize>(self, kernels: Kernels<R, S, T>) {
        let Self { plan, batch, portion, features, messages, radial, gradient, edges } = self;
        let (lanes, components) = (lanes::<R, S>(), components(plan.degree));
        let (width, size) = (plan.features.width(), plan.messages.width());
        let mut matrices = vec![R::default(); plan.entries];
        let mut pairs = [kernels.zero(); MAX_ENTRIES];
        for atom in portion.atoms.start..portion.atoms.end {
            let gradient = &mut gradient[(atom - portion.atoms.start) * width..][..width];
            let gradient = R::vectors_mut::<S>(gradient);
            for v in 0..gradient.len() {
                gradient[v] = kernels.zero();
            }
            let own = R::vectors::<S>(&features[atom * width..][..width]);
            for edge in batch.ptr[atom]..batch.ptr[atom + 1] {
                let harmonics = &batch.harmonics[edge * components..][..components];
                plan.fill(
                    &mut matrices,
                    harmonics,
                    #[inline(always)]
                    |term| term.reversed,
                );
                let at = edge - portion.edges.start;
                let row = portion.row[at] as usize * plan.weights;
                let values = R::vectors::<S>(&radial.values[row..row + plan.weights]);
                let slopes = R::vectors::<S>(&radial.slopes[row..row + plan.weights]);
                let receiver = batch.sender[edge] as usize * size;
                let received = R::vectors::<S>(&messages[receiver..receiver + size]);
                let mut length = kernels.zero();
                let mut turned = [kernels.zero(); MAX_COMPONENTS];
                for p in 0..plan.paths.len() {
                    let one = &plan.paths[p];
                    let (path, sizes) = (one.path, plan.sizes(one, lanes));
                    let (first, weight) = (plan.features.offset(path.l1) / lanes, path.weight / lanes);
                    let given = Given {
                        x: &own[first..],
                        w: &values[weight..],
                        slope: &slopes[weight..],
                        y: &received[(plan.messages.offset(path.l3) + path.slot) / lanes..],
                    };
                    let gradient = &mut gradient[first..];
                    if path.l2 == 0 {
                        kernels.receive_as_is(sizes, given, one.factor, gradient, &mut length);
                        continue;
                    }
                    let matrix = &matrices[one.matrix..];
                    kernels.receive(sizes, given, matrix, gradient, &mut length, &mut pairs);
                    for term in one.terms.start..one.terms.end {
                        let term = &plan.terms[term];
                        let pair = pairs[term.entry as usize - one.matrix];
                        let factor = kernels.splat(term.reversed);
                        kernels.add(&mut turned[term.component as usize], factor, pair);
                    }
                }
                edges.length[at] += kernels.total(length);
                let turns = &mut edges.harmonics[at * components..][..components];
                for component in 0..components {
                    turns[component] += kernels.total(turned[component]);
                }
            }
        }
    }
}
