//! Linear maps of features, degree by degree.

use super::layout::Layout;
use crate::real::Real;

/// A map of the channels of each degree that input and output have.
#[derive(Debug)]
pub(super) struct Linear<R: Real> {
    from: Layout,
    to: Layout,
    forward: Vec<R::Matrix>,
    backward: Vec<R::Matrix>,
}

impl<R: Real> Linear<R> {
    /// A map from the published weights: (channels in, channels out) of each degree, one after the other, which the network
    /// divides by √(channels in). All are multiplied with `scale`.
    pub fn new(weights: &[f64], from: &Layout, to: &Layout, scale: f64) -> Self {
        let (mut forward, mut backward, mut rest) = (Vec::new(), Vec::new(), weights);
        for (&rows, &cols) in from.channels().iter().zip(to.channels()) {
            let (own, others) = rest.split_at(rows * cols);
            rest = others;
            let factor = scale / (rows as f64).sqrt();
            let matrix: Vec<f64> = own.iter().map(|w| factor * w).collect();
            let transposed: Vec<f64> =
                (0..cols).flat_map(|c| matrix.iter().skip(c).step_by(cols).copied()).collect();
            forward.push(R::pack(&matrix, [rows, cols]));
            backward.push(R::pack(&transposed, [cols, rows]));
        }
        Self { from: from.clone(), to: to.clone(), forward, backward }
    }

    /// Adds the map of the features of some atoms to `y`, or writes it with zeros for degrees that the input lacks.
    pub fn apply(&self, x: &[R], y: &mut [R], accumulate: bool) {
        run(x, y, [&self.from, &self.to], &self.forward, accumulate);
    }

    /// Adds the gradient in `x` of given gradients in `y`, or writes it.
    pub fn backward(&self, y: &[R], x: &mut [R], accumulate: bool) {
        run(y, x, [&self.to, &self.from], &self.backward, accumulate);
    }
}

fn run<R: Real>(x: &[R], y: &mut [R], [from, to]: [&Layout; 2], matrices: &[R::Matrix], accumulate: bool) {
    let atoms = x.len() / from.width();
    debug_assert_eq!(atoms * to.width(), y.len());
    if atoms == 0 {
        return;
    }
    for (l, matrix) in matrices.iter().enumerate() {
        for m in 0..2 * l + 1 {
            let x = &x[from.offset(l) + m * from.channels()[l]..];
            let y = &mut y[to.offset(l) + m * to.channels()[l]..];
            R::multiply(y, to.width(), atoms, x, from.width(), matrix, accumulate);
        }
    }
    if !accumulate {
        for l in matrices.len()..=to.max_degree() {
            y.chunks_exact_mut(to.width()).for_each(|y| y[to.range(l)].fill(R::default()));
        }
    }
}
