//! Messages along edges: tensor products of features and spherical harmonics, weighted by the distance, and their
//! derivatives.

mod first;
mod kernels;
mod passes;
#[cfg(test)]
mod tests;

use std::ops::Range;

use druse_nn::arch::arch;

pub(super) use self::first::FirstConvolution;
use self::passes::{Backward, Forward};
use super::config::{Path, Paths};
use super::coupling::coefficients;
use super::graph::{Batch, Portion};
use super::harmonics::begin;
use super::layout::Layout;
use crate::real::Real;

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
}

/// A path with its matrix over components of messages and features, which depends on the direction alone.
#[derive(Debug)]
struct Plan<R> {
    path: Path,
    /// Where its matrix begins.
    matrix: usize,
    /// Its part of the terms.
    terms: Range<usize>,
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
        let (mut plans, mut terms, mut entries) = (Vec::new(), Vec::new(), 0);
        for &path in &paths.list {
            let (columns, rows) = (2 * path.l1 + 1, 2 * path.l3 + 1);
            let norm = (rows as f64).sqrt();
            let first = terms.len();
            let mut factor = R::default();
            for ([i, j, k], value) in coefficients([path.l1, path.l2, path.l3]) {
                let value = norm * value;
                if path.l2 == 0 {
                    factor = R::narrow(value);
                    continue;
                }
                terms.push(Term {
                    entry: (entries + k * columns + i) as u32,
                    component: (begin(path.l2) + j) as u32,
                    value: R::narrow(value),
                    reversed: R::narrow(if path.l2 % 2 == 0 { value } else { -value }),
                });
            }
            plans.push(Plan { path, matrix: entries, terms: first..terms.len(), factor });
            entries += if path.l2 == 0 { 0 } else { columns * rows };
        }
        let (features, messages) = (features.clone(), paths.messages.clone());
        Self { paths: plans, terms, features, messages, weights: paths.weights, degree, entries }
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
        arch().dispatch(Forward { plan: self, batch, portion, features, radial, out });
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
        arch().dispatch(Backward { plan: self, batch, portion, features, messages, radial, gradient, edges });
    }
}
