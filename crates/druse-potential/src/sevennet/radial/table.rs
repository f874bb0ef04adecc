//! Radial weights from tables: cubic pieces with the network's values and slopes at their ends.

use druse_nn::arch::arch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::net::{Hidden, Net};
use crate::basis::Basis;
use crate::real::Real;

/// Where tables begin (Å). Below, where no atoms of a crystal are, the network itself is asked.
const BEGIN: f64 = 0.5;
/// Up to here (Å) pieces have half the length: radial weights vary most where atoms of a crystal seldom are.
const NEAR: f64 = 1.5;

/// Knots that are evaluated at once.
const KNOTS: usize = 32;

/// Cubic pieces. They share value and slope where they meet, so the energy has a continuous gradient, and forces are the
/// exact derivative of the tabulated energy.
#[derive(Debug)]
pub(super) struct Table<R> {
    /// Stretches of pieces of equal length.
    near: Stretch,
    far: Stretch,
    weights: usize,
    /// For each piece the coefficients of 1, s, s², s³ of all weights, s from 0 to 1 along the piece.
    coefficients: Vec<R>,
}

/// Pieces of equal length.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    begin: f64,
    step: f64,
    pieces: usize,
}

impl Stretch {
    /// A whole number of pieces of about the length `step`.
    fn new(begin: f64, end: f64, step: f64) -> Self {
        let pieces = (((end - begin) / step).round() as usize).max(1);
        Self { begin, step: (end - begin) / pieces as f64, pieces }
    }

    fn knots(&self) -> impl Iterator<Item = f64> + use<> {
        let Self { begin, step, pieces } = *self;
        (0..=pieces).map(move |k| begin + k as f64 * step)
    }
}

impl<R: Real> Table<R> {
    /// Pieces of about the length `step` (Å), half of it for short distances.
    pub fn new(net: &Net<f64>, basis: &Basis, step: f64) -> Self {
        let middle = NEAR.min(0.5 * (BEGIN + basis.cutoff));
        let near = Stretch::new(BEGIN, middle, 0.5 * step);
        let far = Stretch::new(middle, basis.cutoff, step);
        let mut table = Self { near, far, weights: net.outputs, coefficients: Vec::new() };
        table.append(net, basis, near);
        table.append(net, basis, far);
        table
    }

    /// Appends the pieces of a stretch.
    fn append(&mut self, net: &Net<f64>, basis: &Basis, stretch: Stretch) {
        let weights = self.weights;
        let knots: Vec<f64> = stretch.knots().collect();
        let mut values = vec![0.0; knots.len() * weights];
        let mut slopes = values.clone();
        let rows = values.par_chunks_mut(KNOTS * weights).zip(slopes.par_chunks_mut(KNOTS * weights));
        rows.zip(knots.par_chunks(KNOTS)).for_each(|((values, slopes), knots)| {
            net.evaluate(basis, knots, values, Some(slopes), &mut Hidden::default());
        });
        let before = self.coefficients.len();
        self.coefficients.resize(before + 4 * weights * stretch.pieces, R::default());
        let pieces = self.coefficients[before..].par_chunks_mut(4 * weights);
        pieces.enumerate().for_each(|(piece, out)| {
            let at = |values: &[f64], w| [values[piece * weights + w], values[(piece + 1) * weights + w]];
            for w in 0..weights {
                let [v0, v1] = at(&values, w);
                let [d0, d1] = at(&slopes, w).map(|d| d * stretch.step);
                let cubic = [v0, d0, 3.0 * (v1 - v0) - 2.0 * d0 - d1, 2.0 * (v0 - v1) + d0 + d1];
                for (power, c) in cubic.into_iter().enumerate() {
                    out[power * weights + w] = R::narrow(c);
                }
            }
        });
    }

    /// Whether a distance is in the table.
    pub fn covers(&self, r: f64) -> bool {
        r >= BEGIN
    }

    /// Writes the weights at one distance, and their slopes where they are asked for.
    pub fn at(&self, r: f64, values: &mut [R], slopes: Option<&mut [R]>) {
        let (stretch, before) =
            if r < self.far.begin { (self.near, 0) } else { (self.far, self.near.pieces) };
        let along = ((r - stretch.begin) / stretch.step).max(0.0);
        let piece = (along as usize).min(stretch.pieces - 1);
        let s = R::narrow((along - piece as f64).min(1.0));
        let coefficients = &self.coefficients[(before + piece) * 4 * self.weights..][..4 * self.weights];
        let per_step = R::narrow(1.0 / stretch.step);
        arch().dispatch(Cubic { coefficients, s, per_step, values, slopes });
    }
}

/// Values and slopes of the cubic polynomials of all weights.
struct Cubic<'a, R> {
    coefficients: &'a [R],
    s: R,
    per_step: R,
    values: &'a mut [R],
    slopes: Option<&'a mut [R]>,
}

impl<R: Real> WithSimd for Cubic<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let n = self.values.len();
        let (s, per_step) = (R::splat(simd, self.s), R::splat(simd, self.per_step));
        let part = |power: usize| R::vectors::<S>(&self.coefficients[power * n..][..n]);
        let (c0, c1, c2, c3) = (part(0), part(1), part(2), part(3));
        let values = R::vectors_mut::<S>(self.values);
        for w in 0..values.len() {
            let sum = R::times_plus(simd, s, c3[w], c2[w]);
            let sum = R::times_plus(simd, s, sum, c1[w]);
            values[w] = R::times_plus(simd, s, sum, c0[w]);
        }
        if let Some(slopes) = self.slopes {
            let slopes = R::vectors_mut::<S>(slopes);
            let (twice, thrice) = (R::splat(simd, R::narrow(2.0)), R::splat(simd, R::narrow(3.0)));
            for w in 0..slopes.len() {
                let sum = R::times_plus(simd, s, R::times(simd, thrice, c3[w]), R::times(simd, twice, c2[w]));
                slopes[w] = R::times(simd, per_step, R::times_plus(simd, s, sum, c1[w]));
            }
        }
    }
}
