//! The loops over rows of features, compiled for the processor's vectors.

use std::ops::Range;

use druse_nn::arch::arch;
use pulp::Arch;

use super::graph::{AngleIndex, EdgeIndex};
use super::weights::{FOUR, TWO, WIDTH};
use crate::real::Real;

/// A feature.
pub(super) type Row<R> = [R; WIDTH];
/// Core and gate.
pub(super) type Two<R> = [R; TWO];
/// Core and gate of two ends.
pub(super) type Four<R> = [R; FOUR];

/// Added to the variance of a row.
const EPSILON: f64 = 1e-5;

/// Partial sums, so that a row is summed in vectors.
const LANES: usize = 16;

/// What closures give away to be called once: one that could be called again is compiled out of line, for the least of all
/// processors.
struct Once;

/// Runs a function of this file compiled for the widest vector instructions of this processor.
macro_rules! vectorized {
    ($function:ident::<$real:ident>($($argument:expr),* $(,)?)) => {
        match arch() {
            Arch::Scalar => $function::<$real, false>($($argument),*),
            arch => {
                let once = Once;
                arch.dispatch(
                    #[inline(always)]
                    || {
                        let _given: Once = once;
                        $function::<$real, true>($($argument),*)
                    },
                )
            }
        }
    };
}

#[inline(always)]
fn sigmoid<R: Real, const FUSED: bool>(x: R) -> R {
    R::ONE / (R::ONE + (-x).exp::<FUSED>())
}

/// Core and gate of a row.
#[inline(always)]
fn halves<R>(row: &Two<R>) -> [&Row<R>; 2] {
    let (halves, _) = row.as_chunks();
    [&halves[0], &halves[1]]
}

#[inline(always)]
fn halves_mut<R>(row: &mut Two<R>) -> [&mut Row<R>; 2] {
    let ([core, gate], _) = row.as_chunks_mut::<WIDTH>() else { unreachable!("twice the width") };
    [core, gate]
}

/// What the first or the second end brings.
#[inline(always)]
fn end<R>(row: &Four<R>, which: usize) -> &Two<R> {
    &row.as_chunks().0[which]
}

#[inline(always)]
fn total<R: Real>(sums: [R; LANES]) -> R {
    let mut half = [R::default(); LANES / 2];
    for k in 0..LANES / 2 {
        half[k] = sums[k] + sums[k + LANES / 2];
    }
    let mut quarter = [R::default(); LANES / 4];
    for k in 0..LANES / 4 {
        quarter[k] = half[k] + half[k + LANES / 4];
    }
    (quarter[0] + quarter[2]) + (quarter[1] + quarter[3])
}

/// `Σ f(k)` over a row.
#[inline(always)]
fn row_sum<R: Real>(f: impl Fn(usize) -> R) -> R {
    let mut sums = [R::default(); LANES];
    for part in 0..WIDTH / LANES {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += f(part * LANES + lane);
        }
    }
    total(sums)
}

/// Layer norms of core and gate with their activations: `silu(norm(core + bias)) · sigmoid(norm(gate + bias))`.
#[derive(Debug)]
pub(super) struct Gate<R> {
    pub bias: Two<R>,
    pub gain: Two<R>,
    pub shift: Two<R>,
}

/// A row with mean 0 and variance 1, and the factor that made it so.
#[inline(always)]
fn normalized<R: Real>(y: &Row<R>, bias: &Row<R>) -> (Row<R>, R) {
    let share = R::narrow(1.0 / WIDTH as f64);
    let mut x = [R::default(); WIDTH];
    for k in 0..WIDTH {
        x[k] = y[k] + bias[k];
    }
    let mean = share * row_sum(|k| x[k]);
    for x in &mut x {
        *x = *x - mean;
    }
    let factor = R::ONE / (share * row_sum(|k| x[k] * x[k]) + R::narrow(EPSILON)).root();
    for x in &mut x {
        *x = *x * factor;
    }
    (x, factor)
}

impl<R: Real> Gate<R> {
    /// The message of a row.
    #[inline(always)]
    fn forward<const FUSED: bool>(&self, y: &Two<R>) -> Row<R> {
        let ([core, gate], [bias, bias_g]) = (halves(y), halves(&self.bias));
        let ([gain, gain_g], [shift, shift_g]) = (halves(&self.gain), halves(&self.shift));
        let ((x, _), (xg, _)) = (normalized(core, bias), normalized(gate, bias_g));
        let mut message = [R::default(); WIDTH];
        for k in 0..WIDTH {
            let (z, zg) = (x[k] * gain[k] + shift[k], xg[k] * gain_g[k] + shift_g[k]);
            message[k] = z / ((R::ONE + (-z).exp::<FUSED>()) * (R::ONE + (-zg).exp::<FUSED>()));
        }
        message
    }

    /// The message of a row; turns the row into its gradient, given that of the message.
    #[inline(always)]
    fn backward<const FUSED: bool>(&self, y: &mut Two<R>, gradient: &Row<R>) -> Row<R> {
        let ([core, gate], [bias, bias_g]) = (halves(y), halves(&self.bias));
        let ([gain, gain_g], [shift, shift_g]) = (halves(&self.gain), halves(&self.shift));
        let ((x, factor), (xg, factor_g)) = (normalized(core, bias), normalized(gate, bias_g));
        let mut message = [R::default(); WIDTH];
        let (mut d, mut dg) = (message, message);
        for k in 0..WIDTH {
            let (z, zg) = (x[k] * gain[k] + shift[k], xg[k] * gain_g[k] + shift_g[k]);
            // One division for two logistic functions.
            let (one_plus, one_plus_g) = (R::ONE + (-z).exp::<FUSED>(), R::ONE + (-zg).exp::<FUSED>());
            let both = R::ONE / (one_plus * one_plus_g);
            let (s, sg) = (both * one_plus_g, both * one_plus);
            message[k] = z * both;
            d[k] = gradient[k] * gain[k] * both * (R::ONE + z * (R::ONE - s));
            dg[k] = gradient[k] * gain_g[k] * message[k] * (R::ONE - sg);
        }
        let [core, gate] = halves_mut(y);
        unnormalized(&x, factor, &d, core);
        unnormalized(&xg, factor_g, &dg, gate);
        message
    }
}

/// Gradient of a row before it was normalized.
#[inline(always)]
fn unnormalized<R: Real>(x: &Row<R>, factor: R, d: &Row<R>, out: &mut Row<R>) {
    let share = R::narrow(1.0 / WIDTH as f64);
    let mean = share * row_sum(|k| d[k]);
    let along = share * row_sum(|k| d[k] * x[k]);
    for k in 0..WIDTH {
        out[k] = factor * (d[k] - mean - x[k] * along);
    }
}

/// The layer norm of a row.
pub(super) fn normalize<R: Real>(y: &Row<R>, gain: &[R], shift: &[R]) -> Row<R> {
    let (mut x, _) = normalized(y, &[R::default(); WIDTH]);
    for (x, (&gain, &shift)) in x.iter_mut().zip(gain.iter().zip(shift)) {
        *x = *x * gain + shift;
    }
    x
}

/// Turns a row into its gradient, given that of its layer norm.
pub(super) fn normalize_backward<R: Real>(y: &mut Row<R>, gain: &[R], gradient: &Row<R>) {
    let (x, factor) = normalized(y, &[R::default(); WIDTH]);
    let mut d = *gradient;
    d.iter_mut().zip(gain).for_each(|(d, &gain)| *d = *d * gain);
    unnormalized(&x, factor, &d, y);
}

/// What the messages of some directed edges are made of.
#[derive(Clone, Copy)]
pub(super) struct AtomInput<'a, R> {
    pub edges: &'a [EdgeIndex],
    /// What atoms bring as center and as neighbor; the bias is part of the center's.
    pub ends: &'a [Four<R>],
    /// What bonds bring.
    pub bonds: &'a [Two<R>],
    /// Weights of the messages of bonds.
    pub weights: &'a [Row<R>],
}

impl<'a, R: Real> AtomInput<'a, R> {
    /// Of some of its edges.
    pub fn tile(self, edges: Range<usize>) -> Self {
        Self { edges: &self.edges[edges], ..self }
    }

    #[inline(always)]
    fn parts(&self, edge: &EdgeIndex) -> [&'a Two<R>; 3] {
        let ends = self.ends;
        [
            end(&ends[edge.center as usize], 0),
            end(&ends[edge.neighbor as usize], 1),
            &self.bonds[edge.bond as usize],
        ]
    }

    /// Writes what the second maps read.
    pub fn hidden(&self, active: &mut [Two<R>]) {
        vectorized!(atom_hidden::<R>(self, active));
    }

    /// Turns gradients of what the second maps read into those of the sum of what the ends and the bond bring.
    pub fn hidden_backward(&self, gradients: &mut [Two<R>]) {
        vectorized!(atom_hidden_backward::<R>(self, gradients));
    }

    /// Adds the messages to the sums of their centers, which begin at an atom.
    pub fn messages(&self, gate: &Gate<R>, y: &[Two<R>], first: usize, sums: &mut [Row<R>]) {
        vectorized!(atom_messages::<R>(self, gate, y, first, sums));
    }

    /// Turns what the gate read into its gradient, given those of the sums of all atoms; adds the gradients of the weights.
    pub fn messages_backward(
        &self,
        gate: &Gate<R>,
        y: &mut [Two<R>],
        sums: &[Row<R>],
        weights: &mut [Row<R>],
    ) {
        vectorized!(atom_messages_backward::<R>(self, gate, y, sums, weights));
    }
}

#[inline(always)]
fn atom_hidden<R: Real, const FUSED: bool>(input: &AtomInput<'_, R>, active: &mut [Two<R>]) {
    for (edge, active) in input.edges.iter().zip(active) {
        let [a, b, c] = input.parts(edge);
        for k in 0..TWO {
            let h = a[k] + b[k] + c[k];
            active[k] = h * sigmoid::<R, FUSED>(h);
        }
    }
}

#[inline(always)]
fn atom_hidden_backward<R: Real, const FUSED: bool>(input: &AtomInput<'_, R>, gradients: &mut [Two<R>]) {
    for (edge, gradient) in input.edges.iter().zip(gradients) {
        let [a, b, c] = input.parts(edge);
        for k in 0..TWO {
            let h = a[k] + b[k] + c[k];
            let s = sigmoid::<R, FUSED>(h);
            gradient[k] = gradient[k] * s * (R::ONE + h * (R::ONE - s));
        }
    }
}

#[inline(always)]
fn atom_messages<R: Real, const FUSED: bool>(
    input: &AtomInput<'_, R>,
    gate: &Gate<R>,
    y: &[Two<R>],
    first: usize,
    sums: &mut [Row<R>],
) {
    for (edge, y) in input.edges.iter().zip(y) {
        let message = gate.forward::<FUSED>(y);
        let weight = &input.weights[edge.bond as usize];
        let sum = &mut sums[edge.center as usize - first];
        for k in 0..WIDTH {
            sum[k] += message[k] * weight[k];
        }
    }
}

#[inline(always)]
fn atom_messages_backward<R: Real, const FUSED: bool>(
    input: &AtomInput<'_, R>,
    gate: &Gate<R>,
    y: &mut [Two<R>],
    sums: &[Row<R>],
    weights: &mut [Row<R>],
) {
    for ((edge, y), gradient) in input.edges.iter().zip(y).zip(weights) {
        let (weight, sum) = (&input.weights[edge.bond as usize], &sums[edge.center as usize]);
        let mut weighted = [R::default(); WIDTH];
        for k in 0..WIDTH {
            weighted[k] = sum[k] * weight[k];
        }
        let message = gate.backward::<FUSED>(y, &weighted);
        for k in 0..WIDTH {
            gradient[k] += sum[k] * message[k];
        }
    }
}

/// What the messages of some angles are made of.
#[derive(Clone, Copy)]
pub(super) struct AngleInput<'a, R> {
    pub angles: &'a [AngleIndex],
    /// What short bonds bring as first and as second of an angle.
    pub ends: &'a [Four<R>],
    /// What the center brings, the bias with it.
    pub atoms: &'a [Two<R>],
    /// Weights of the messages of short bonds.
    pub weights: &'a [Row<R>],
}

impl<R: Real> AngleInput<'_, R> {
    /// Of some of its angles.
    pub fn tile(self, angles: Range<usize>) -> Self {
        Self { angles: &self.angles[angles], ..self }
    }

    /// Adds what bonds and atom bring to what the angle brings.
    pub fn add(&self, h: &mut [Two<R>]) {
        vectorized!(angle_add::<R>(self, h));
    }

    /// [`AngleInput::add`], then writes what the second maps read.
    pub fn add_hidden(&self, h: &mut [Two<R>], active: &mut [Two<R>]) {
        vectorized!(angle_hidden::<R>(self, h, active));
    }

    /// Adds the messages to the sums of their first short edges, of which the first one is given.
    pub fn messages(&self, gate: &Gate<R>, y: &[Two<R>], first: usize, sums: &mut [Row<R>]) {
        vectorized!(bond_messages::<R>(self, gate, y, first, sums));
    }

    /// Turns what the gate read into its gradient, given those of the sums of all short bonds; adds the gradients of the
    /// weights of short edges, of which the first one is given.
    pub fn messages_backward(
        &self,
        gate: &Gate<R>,
        y: &mut [Two<R>],
        sums: &[Row<R>],
        first: usize,
        weights: &mut [Row<R>],
    ) {
        vectorized!(bond_messages_backward::<R>(self, gate, y, sums, first, weights));
    }

    /// Adds gradients of what is brought to those of short edges as first and as second, of which the first one is given.
    pub fn spread(&self, h: &[Two<R>], first: usize, ends: &mut [Four<R>]) {
        vectorized!(angle_spread::<R>(self, h, first, ends));
    }
}

#[inline(always)]
fn angle_add<R: Real, const FUSED: bool>(input: &AngleInput<'_, R>, h: &mut [Two<R>]) {
    for (angle, h) in input.angles.iter().zip(h) {
        let [a, b] = angle.bonds.map(|bond| &input.ends[bond as usize]);
        let (a, b, c) = (end(a, 0), end(b, 1), &input.atoms[angle.center as usize]);
        for k in 0..TWO {
            h[k] += a[k] + b[k] + c[k];
        }
    }
}

#[inline(always)]
fn angle_hidden<R: Real, const FUSED: bool>(
    input: &AngleInput<'_, R>,
    h: &mut [Two<R>],
    active: &mut [Two<R>],
) {
    for ((angle, h), active) in input.angles.iter().zip(h).zip(active) {
        let [a, b] = angle.bonds.map(|bond| &input.ends[bond as usize]);
        let (a, b, c) = (end(a, 0), end(b, 1), &input.atoms[angle.center as usize]);
        for k in 0..TWO {
            let sum = h[k] + (a[k] + b[k] + c[k]);
            h[k] = sum;
            active[k] = sum * sigmoid::<R, FUSED>(sum);
        }
    }
}

#[inline(always)]
fn bond_messages<R: Real, const FUSED: bool>(
    input: &AngleInput<'_, R>,
    gate: &Gate<R>,
    y: &[Two<R>],
    first: usize,
    sums: &mut [Row<R>],
) {
    for (angle, y) in input.angles.iter().zip(y) {
        let message = gate.forward::<FUSED>(y);
        let [a, b] = angle.bonds.map(|bond| &input.weights[bond as usize]);
        let sum = &mut sums[angle.shorts[0] as usize - first];
        for k in 0..WIDTH {
            sum[k] += message[k] * (a[k] * b[k]);
        }
    }
}

#[inline(always)]
fn bond_messages_backward<R: Real, const FUSED: bool>(
    input: &AngleInput<'_, R>,
    gate: &Gate<R>,
    y: &mut [Two<R>],
    sums: &[Row<R>],
    first: usize,
    weights: &mut [Row<R>],
) {
    for (angle, y) in input.angles.iter().zip(y) {
        let sum = &sums[angle.bonds[0] as usize];
        let [a, b] = angle.bonds.map(|bond| &input.weights[bond as usize]);
        let mut weighted = [R::default(); WIDTH];
        for k in 0..WIDTH {
            weighted[k] = sum[k] * (a[k] * b[k]);
        }
        let mut message = gate.backward::<FUSED>(y, &weighted);
        for k in 0..WIDTH {
            message[k] = message[k] * sum[k];
        }
        for (short, other) in angle.shorts.into_iter().zip([b, a]) {
            let gradient = &mut weights[short as usize - first];
            for k in 0..WIDTH {
                gradient[k] += message[k] * other[k];
            }
        }
    }
}

#[inline(always)]
fn angle_spread<R: Real, const FUSED: bool>(
    input: &AngleInput<'_, R>,
    h: &[Two<R>],
    first: usize,
    ends: &mut [Four<R>],
) {
    for (angle, h) in input.angles.iter().zip(h) {
        for (which, short) in angle.shorts.into_iter().enumerate() {
            let sum = &mut ends[short as usize - first].as_chunks_mut::<TWO>().0[which];
            for k in 0..TWO {
                sum[k] += h[k];
            }
        }
    }
}

/// `t' = t + message` for the angles of some rows.
pub(super) fn angle_messages<R: Real>(gate: &Gate<R>, y: &[Two<R>], t: &mut [Row<R>]) {
    vectorized!(update_angles::<R>(gate, y, t));
}

#[inline(always)]
fn update_angles<R: Real, const FUSED: bool>(gate: &Gate<R>, y: &[Two<R>], t: &mut [Row<R>]) {
    for (y, t) in y.iter().zip(t) {
        let message = gate.forward::<FUSED>(y);
        for k in 0..WIDTH {
            t[k] += message[k];
        }
    }
}

/// Turns what the gate read into its gradient, given those of the messages.
pub(super) fn gate_backward<R: Real>(gate: &Gate<R>, y: &mut [Two<R>], gradients: &[Row<R>]) {
    vectorized!(gate_rows_backward::<R>(gate, y, gradients));
}

#[inline(always)]
fn gate_rows_backward<R: Real, const FUSED: bool>(gate: &Gate<R>, y: &mut [Two<R>], gradients: &[Row<R>]) {
    for (y, gradient) in y.iter_mut().zip(gradients) {
        gate.backward::<FUSED>(y, gradient);
    }
}

/// `y += x` for rows.
#[inline(always)]
pub(super) fn add<R: Real, const N: usize>(y: &mut [R; N], x: &[R; N]) {
    for k in 0..N {
        y[k] += x[k];
    }
}
