//! The layers of a DimeNet interaction block before and after its sum over triplets, as one operation each: block by block
//! of rows, every block through all layers while it is in the cache. The activation is the plain SiLU.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Tensor;

use super::filter::{append_product, filter};
use crate::arch::vectorized;
use crate::ops::blocks::for_each;
use crate::ops::dense::{Activation, add_row, add_rows_to, affine, dense};
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::{
    as_uninit, residual_silu, residual_silu_into, silu_and_backward_into, silu_backward, silu_backward_into,
    silu_in_place, silu_into,
};
use crate::ops::product::{BLOCK, Panels, Use, View, add_gradient, multiply, multiply_new, new_vec};

/// Rows of a block in the backward pass. Longer than in the forward pass: every block adds to all gradients of weights.
const BACKWARD_BLOCK: usize = 2 * BLOCK;

/// Most residual layers that are part of one operation.
const MOST_PAIRS: usize = 4;

/// `SiLU(V (SiLU(W m + b) ⊙ (F basis)))`: m is (edges, H), the basis (edges, C); W is (H, H), b (1, H), F (H, C), V (I, H);
/// the result (edges, I).
pub fn message_down(
    m: Tensor<2>,
    basis: Tensor<2>,
    weight: Tensor<2>,
    bias: Tensor<2>,
    filter: Tensor<2>,
    down: Tensor<2>,
) -> Tensor<2> {
    apply(&MessageDown, [m, basis, weight, bias, filter, down])
}

/// Weights of [`message_update`]. Those of a residual layer `u ← u + SiLU(W₂ SiLU(W₁ u + b₁) + b₂)` come as
/// `[W₁, b₁, W₂, b₂]`.
pub struct MessageUpdateWeights {
    /// Of the messages: weight (H, H) and bias (1, H).
    pub own: [Tensor<2>; 2],
    /// Of the sums (H, I).
    pub up: Tensor<2>,
    /// Residual layers before the skip connection.
    pub before: Vec<[Tensor<2>; 4]>,
    /// Layer at the skip connection: weight (H, H) and bias (1, H).
    pub skip: [Tensor<2>; 2],
    /// Residual layers after it.
    pub after: Vec<[Tensor<2>; 4]>,
}

/// New messages from the old ones m (edges, H) and the sums over triplets s (edges, I):
/// `u = SiLU(W m + b) + SiLU(U s)`, the residual layers before, `u ← SiLU(W' u + b') + m`, the residual layers after.
pub fn message_update(m: Tensor<2>, s: Tensor<2>, weights: MessageUpdateWeights) -> Tensor<2> {
    let MessageUpdateWeights { own: [w, b], up, before, skip, after } = weights;
    let op = MessageUpdate { before: before.len() };
    let pairs = before.len() + after.len();
    let mut inputs = vec![m, s, w, b, up];
    inputs.extend(before.into_iter().flatten());
    inputs.extend(skip);
    inputs.extend(after.into_iter().flatten());
    match pairs {
        0 => fixed::<7>(op, inputs),
        1 => fixed::<11>(op, inputs),
        2 => fixed::<15>(op, inputs),
        3 => fixed::<19>(op, inputs),
        MOST_PAIRS => fixed::<23>(op, inputs),
        _ => compose(op.before, inputs),
    }
}

fn fixed<const N: usize>(op: MessageUpdate, inputs: Vec<Tensor<2>>) -> Tensor<2> {
    let inputs: [Tensor<2>; N] = match inputs.try_into() {
        Ok(inputs) => inputs,
        Err(inputs) => unreachable!("{} inputs are not {N}", inputs.len()),
    };
    apply(&op, inputs)
}

fn compose(before: usize, inputs: impl IntoIterator<Item = Tensor<2>>) -> Tensor<2> {
    let mut inputs = inputs.into_iter();
    let mut take = || inputs.next();
    let silu = Activation::Silu;
    let missing = "every layer has its weights";
    let mut next = || take().expect(missing);
    let (m, s) = (next(), next());
    let mut u = affine(m.clone(), next(), next(), silu) + dense(s, next(), silu);
    for _ in 0..before {
        let h = affine(u.clone(), next(), next(), silu);
        u = u + affine(h, next(), next(), silu);
    }
    u = affine(u, next(), next(), silu) + m;
    while let Some(weight) = take() {
        let h = affine(u.clone(), weight, take().expect(missing), silu);
        u = u + affine(h, take().expect(missing), take().expect(missing), silu);
    }
    u
}

fn rows_of<'a>(m: Mat<'a>, rows: &Range<usize>) -> &'a [f32] {
    &m.data[rows.start * m.cols..rows.end * m.cols]
}

fn backward_blocks(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(BACKWARD_BLOCK).map(move |start| start..(start + BACKWARD_BLOCK).min(rows))
}

/// `y ← y ⊙ x`.
fn multiply_by(y: &mut [f32], x: &[f32]) {
    vectorized!(for (y, &x) in y.iter_mut().zip(x) {
        *y *= x;
    });
}

/// Splits blocks of rows off a result and off what is kept of each layer, and hands them to `work` together with their
/// rows. Widths are those of the results.
///
/// # Safety
/// `work` must write all of every block it is given.
unsafe fn in_blocks(
    rows: usize,
    operations: usize,
    width: usize,
    kept: &[usize],
    work: impl Fn(Range<usize>, &mut [MaybeUninit<f32>], Vec<&mut [MaybeUninit<f32>]>) + Sync + Send,
) -> (Matrix, Vec<Vec<f32>>) {
    let mut keep: Vec<Vec<f32>> = kept.iter().map(|cols| Vec::with_capacity(rows * cols)).collect();
    // SAFETY: every block is handed to `work`, which writes it.
    let data = unsafe {
        new_vec(rows * width, |out| {
            let mut blocks: Vec<_> =
                out.chunks_mut((BLOCK * width).max(1)).map(|out| (out, Vec::new())).collect();
            for (z, cols) in keep.iter_mut().zip(kept) {
                let z = z.spare_capacity_mut()[..rows * cols].chunks_mut((BLOCK * cols).max(1));
                blocks.iter_mut().zip(z).for_each(|((_, all), z)| all.push(z));
            }
            for_each(operations, blocks.into_iter().enumerate(), |(block, (out, kept))| {
                let first = block * BLOCK;
                work(first..(first + BLOCK).min(rows), out, kept);
            });
        })
    };
    for (z, cols) in keep.iter_mut().zip(kept) {
        // SAFETY: as above.
        unsafe { z.set_len(rows * cols) };
    }
    (Matrix { data, rows, cols: width }, keep)
}

#[derive(Debug, Clone)]
pub(crate) struct MessageDown;

impl HostOp<6> for MessageDown {
    fn forward(&self, inputs: [Mat<'_>; 6], keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let [m, basis, w, b, filter, down] = inputs;
        let [pw, pf, pd] = [w, filter, down].map(|w| w.weight().packed(Use::Forward));
        let (h, width) = (w.rows, down.rows);
        let operations = 2 * m.rows * h * (m.cols + basis.cols + width);
        let kept: &[usize] = if keep { &[h, width] } else { &[] };
        // SAFETY: the products write the arguments, and the activation as many numbers as there are arguments.
        unsafe {
            in_blocks(m.rows, operations, width, kept, |rows, out, kept| {
                let (n, mut kept) = (rows.len(), kept.into_iter());
                let mut scratch = [Vec::with_capacity(n * h), Vec::with_capacity(n * h)];
                let [y, f] = scratch.each_mut().map(|s: &mut Vec<f32>| &mut s.spare_capacity_mut()[..n * h]);
                let input = View::rows(rows_of(m, &rows), m.cols);
                let y = match kept.next() {
                    Some(z) => {
                        let z = multiply_new(z, n, input, &pw);
                        add_row(z, b.data);
                        silu_into(z, 1.0, y);
                        y.assume_init_mut()
                    }
                    None => {
                        let y = multiply_new(y, n, input, &pw);
                        add_row(y, b.data);
                        silu_in_place(y, 1.0);
                        y
                    }
                };
                multiply_by(y, multiply_new(f, n, View::rows(rows_of(basis, &rows), basis.cols), &pf));
                match kept.next() {
                    Some(z) => silu_into(multiply_new(z, n, View::rows(y, h), &pd), 1.0, out),
                    None => silu_in_place(multiply_new(out, n, View::rows(y, h), &pd), 1.0),
                }
            })
        }
    }

    fn backward(
        &self,
        inputs: [Mat<'_>; 6],
        kept: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 6],
    ) -> [Option<Matrix>; 6] {
        let [m, basis, w, b, filter, down] = inputs;
        let pf = filter.weight().packed(Use::Forward);
        let [bw, bf, bd] = [w, filter, down].map(|w| w.weight().packed(Use::Backward));
        let (h, width) = (w.rows, down.rows);
        let [mut dw, mut db, mut d_filter, mut d_down] =
            [w, b, filter, down].map(|w| Matrix::zeros(w.rows, w.cols));
        let [mut dm, mut d_basis] = [m, basis].map(|x| Vec::with_capacity(x.data.len()));
        let block = BACKWARD_BLOCK.min(m.rows);
        let mut scratch = [width, h, h, h, h].map(|cols| vec![0.0; block * cols]);
        for rows in backward_blocks(m.rows) {
            let n = rows.len();
            let of = |cols: usize| rows.start * cols..rows.end * cols;
            let [g, y, f, dy, product] = scratch.each_mut().map(|s| &mut s[..]);
            let (g, y, f, dy, product) = (
                &mut g[..n * width],
                &mut y[..n * h],
                &mut f[..n * h],
                &mut dy[..n * h],
                &mut product[..n * h],
            );
            silu_backward_into(&kept[1][of(width)], 1.0, rows_of(grad, &rows), as_uninit(g));
            silu_into(&kept[0][of(h)], 1.0, as_uninit(y));
            let rows_of_basis = rows_of(basis, &rows);
            multiply(f, n, View::rows(rows_of_basis, basis.cols), &pf, false);
            vectorized!(for ((product, &y), &f) in product.iter_mut().zip(&*y).zip(&*f) {
                *product = y * f;
            });
            add_gradient(&mut d_down.data, h, [width, h, n], g, product);
            multiply(dy, n, View::rows(g, width), &bd, false);
            // The filter's gradient takes the place of y, the one of y the place of the filter.
            vectorized!(for ((y, f), &dy) in y.iter_mut().zip(&mut *f).zip(&*dy) {
                *y *= dy;
                *f *= dy;
            });
            add_gradient(&mut d_filter.data, basis.cols, [h, basis.cols, n], y, rows_of_basis);
            append_product(&mut d_basis, n, View::rows(y, h), &bf);
            silu_backward(&kept[0][of(h)], 1.0, f);
            add_gradient(&mut dw.data, m.cols, [h, m.cols, n], f, rows_of(m, &rows));
            add_rows_to(&mut db.data, f);
            append_product(&mut dm, n, View::rows(f, h), &bw);
        }
        let dm = Matrix { data: dm, rows: m.rows, cols: m.cols };
        let d_basis = Matrix { data: d_basis, rows: basis.rows, cols: basis.cols };
        [dm, d_basis, dw, db, d_filter, d_down].map(Some)
    }

    fn compose(&self, [m, basis, w, b, f, down]: [Tensor<2>; 6]) -> Tensor<2> {
        dense(filter(affine(m, w, b, Activation::Silu), basis, f, 1.0), down, Activation::Silu)
    }
}

/// Inputs: m, s, W, b, U, then `[W₁, b₁, W₂, b₂]` of each residual layer before the skip connection, its W and b, and those
/// of each residual layer after it.
#[derive(Debug, Clone)]
pub(crate) struct MessageUpdate {
    /// Residual layers before the skip connection.
    pub before: usize,
}

/// A layer of [`MessageUpdate`]: positions of weight and bias among the inputs.
#[derive(Clone, Copy)]
struct Layer {
    weight: usize,
    bias: usize,
}

#[derive(Clone, Copy)]
enum Step {
    /// `u ← u + SiLU(W₂ SiLU(W₁ u + b₁) + b₂)`.
    Pair([Layer; 2]),
    /// `u ← SiLU(W u + b) + m`.
    Skip(Layer),
}

impl MessageUpdate {
    const OWN: Layer = Layer { weight: 2, bias: 3 };
    const UP: usize = 4;

    /// What follows the first sum, for so many inputs.
    fn steps(&self, inputs: usize) -> Vec<Step> {
        let mut at = 5;
        let mut layer = || {
            at += 2;
            Layer { weight: at - 2, bias: at - 1 }
        };
        let pairs = (inputs - 7) / 4;
        (0..=pairs)
            .map(|i| if i == self.before { Step::Skip(layer()) } else { Step::Pair([layer(), layer()]) })
            .collect()
    }

    /// Takes some rows through all layers. Writes all of `out`, and the arguments of all activations to `kept` unless that
    /// is empty.
    fn forward_block(
        inputs: &[Mat<'_>],
        panels: &[Option<Arc<Panels>>],
        steps: &[Step],
        rows: &Range<usize>,
        out: &mut [MaybeUninit<f32>],
        kept: Vec<&mut [MaybeUninit<f32>]>,
    ) {
        let n = rows.len();
        let panels = |i: usize| panels[i].as_ref().expect("weights are packed");
        let mut kept = kept.into_iter();
        let mut scratch: [Vec<f32>; 2] = [Vec::with_capacity(out.len()), Vec::with_capacity(out.len())];
        let [s1, s2] = scratch.each_mut().map(|s| &mut s.spare_capacity_mut()[..out.len()]);
        // The argument of a layer's activation, in its place if it is kept.
        let (m, s) = (inputs[0], inputs[1]);
        let input = View::rows(rows_of(m, rows), m.cols);
        let bias = |layer: Layer| inputs[layer.bias].data;
        let z = multiply_new(kept.next().unwrap_or(&mut *s1), n, input, panels(Self::OWN.weight));
        add_row(z, bias(Self::OWN));
        silu_into(z, 1.0, out);
        // SAFETY: there are as many arguments as numbers in `out`.
        let u = unsafe { out.assume_init_mut() };
        let input = View::rows(rows_of(s, rows), s.cols);
        let z = multiply_new(kept.next().unwrap_or(&mut *s1), n, input, panels(Self::UP));
        residual_silu(z, 1.0, 1.0, u);
        for step in steps {
            match *step {
                Step::Pair([first, second]) => {
                    let input = View::rows(u, m.cols);
                    let z = multiply_new(kept.next().unwrap_or(&mut *s2), n, input, panels(first.weight));
                    add_row(z, bias(first));
                    silu_into(z, 1.0, s1);
                    // SAFETY: as above.
                    let h = View::rows(unsafe { s1.assume_init_ref() }, m.cols);
                    let z = multiply_new(kept.next().unwrap_or(&mut *s2), n, h, panels(second.weight));
                    add_row(z, bias(second));
                    residual_silu(z, 1.0, 1.0, u);
                }
                Step::Skip(layer) => {
                    let input = View::rows(u, m.cols);
                    let z = multiply_new(kept.next().unwrap_or(&mut *s2), n, input, panels(layer.weight));
                    add_row(z, bias(layer));
                    residual_silu_into(z, 1.0, 1.0, rows_of(m, rows), as_uninit(u));
                }
            }
        }
    }
}

impl<const N: usize> HostOp<N> for MessageUpdate {
    fn forward(&self, inputs: [Mat<'_>; N], keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let steps = self.steps(N);
        let (m, s) = (inputs[0], inputs[1]);
        let panels = pack(&inputs, &steps, Use::Forward);
        let layers = 2 + steps.iter().map(|s| if matches!(s, Step::Pair(_)) { 2 } else { 1 }).sum::<usize>();
        let operations = 2 * m.rows * m.cols * (m.cols * (layers - 1) + s.cols);
        let kept = vec![m.cols; if keep { layers } else { 0 }];
        // SAFETY: `forward_block` writes all it is given.
        unsafe {
            in_blocks(m.rows, operations, m.cols, &kept, |rows, out, kept| {
                Self::forward_block(&inputs, &panels, &steps, &rows, out, kept);
            })
        }
    }

    fn backward(
        &self,
        inputs: [Mat<'_>; N],
        kept: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; N],
    ) -> [Option<Matrix>; N] {
        let steps = self.steps(N);
        let panels = pack(&inputs, &steps, Use::Backward);
        let panels = |i: usize| panels[i].as_ref().expect("weights are packed");
        let (m, s) = (inputs[0], inputs[1]);
        let width = m.cols;
        // Those of m and s grow with the blocks.
        let growing =
            |x: Mat<'_>| Matrix { data: Vec::with_capacity(x.data.len()), rows: x.rows, cols: x.cols };
        let weights = inputs[2..].iter().map(|w| Matrix::zeros(w.rows, w.cols));
        let mut d: Vec<Matrix> = [growing(m), growing(s)].into_iter().chain(weights).collect();
        let block = BACKWARD_BLOCK.min(m.rows) * width;
        let mut states: Vec<Vec<f32>> = vec![vec![0.0; block]; steps.len()];
        let mut scratch = [(); 4].map(|()| vec![0.0; block]);
        for rows in backward_blocks(m.rows) {
            let n = rows.len();
            let range = rows.start * width..rows.end * width;
            let of_m = rows_of(m, &rows);
            let arguments = |z: usize| &kept[z][range.clone()];
            // What every step starts from, computed again.
            silu_into(arguments(0), 1.0, as_uninit(&mut states[0]));
            residual_silu(arguments(1), 1.0, 1.0, &mut states[0]);
            let mut z = 2;
            for (i, step) in steps[..steps.len() - 1].iter().enumerate() {
                let (before, rest) = states.split_at_mut(i + 1);
                let (layers, old) = match step {
                    Step::Pair(_) => (2, &before[i][..]),
                    Step::Skip(_) => (1, of_m),
                };
                z += layers;
                residual_silu_into(arguments(z - 1), 1.0, 1.0, old, as_uninit(&mut rest[0]));
            }
            let [g, h, d1, d2] = scratch.each_mut().map(|s| &mut s[..n * width]);
            g.copy_from_slice(&grad.data[range.clone()]);
            let mut z = kept.len();
            for (step, u) in steps.iter().zip(&states).rev() {
                let u = &u[..n * width];
                match *step {
                    Step::Pair([first, second]) => {
                        z -= 2;
                        silu_backward_into(arguments(z + 1), 1.0, g, as_uninit(d2));
                        multiply(d1, n, View::rows(d2, width), panels(second.weight), false);
                        silu_and_backward_into(arguments(z), 1.0, as_uninit(h), d1);
                        add_layer(&mut d, second, d2, h, n);
                        add_layer(&mut d, first, d1, u, n);
                        multiply(g, n, View::rows(d1, width), panels(first.weight), true);
                    }
                    Step::Skip(layer) => {
                        z -= 1;
                        d[0].data.extend_from_slice(g);
                        silu_backward_into(arguments(z), 1.0, g, as_uninit(d2));
                        add_layer(&mut d, layer, d2, u, n);
                        multiply(g, n, View::rows(d2, width), panels(layer.weight), false);
                    }
                }
            }
            silu_backward_into(arguments(1), 1.0, g, as_uninit(d2));
            add_gradient(&mut d[Self::UP].data, s.cols, [width, s.cols, n], d2, rows_of(s, &rows));
            append_product(&mut d[1].data, n, View::rows(d2, width), panels(Self::UP));
            silu_backward(arguments(0), 1.0, g);
            add_layer(&mut d, Self::OWN, g, of_m, n);
            let dm = &mut d[0].data[range.clone()];
            multiply(dm, n, View::rows(g, width), panels(Self::OWN.weight), true);
        }
        let mut all = d.into_iter().map(Some);
        std::array::from_fn(|_| all.next().flatten())
    }

    fn compose(&self, inputs: [Tensor<2>; N]) -> Tensor<2> {
        compose(self.before, inputs)
    }
}

/// Adds the gradients of a layer's weight and bias: g is the one of its result, x its input.
fn add_layer(d: &mut [Matrix], layer: Layer, g: &[f32], x: &[f32], rows: usize) {
    let Matrix { data, rows: out, cols } = &mut d[layer.weight];
    add_gradient(data, *cols, [*out, *cols, rows], g, x);
    add_rows_to(&mut d[layer.bias].data, g);
}

/// Packs all weights among the inputs.
fn pack(inputs: &[Mat<'_>], steps: &[Step], purpose: Use) -> Vec<Option<Arc<Panels>>> {
    let mut panels = vec![None; inputs.len()];
    let mut pack = |i: usize| panels[i] = Some(inputs[i].weight().packed(purpose));
    pack(MessageUpdate::OWN.weight);
    pack(MessageUpdate::UP);
    for step in steps {
        match step {
            Step::Pair(layers) => layers.iter().for_each(|layer| pack(layer.weight)),
            Step::Skip(layer) => pack(layer.weight),
        }
    }
    panels
}
