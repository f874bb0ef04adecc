//! The loops over channels of tensor products. They are inlined into code for the processor's vector instructions.

use super::super::layout::GROUP;
use super::super::real::{Real, multiply_add};

/// Partial sums of a dot product.
pub(super) const LANES: usize = 8;

/// So many neighboring channels.
type Channels<R> = [R; GROUP];

/// The group of channels that begins at a place.
#[inline(always)]
fn group<R>(x: &[R], at: usize) -> &Channels<R> {
    x[at..].first_chunk().expect("channels are whole groups")
}

#[inline(always)]
fn group_mut<R>(x: &mut [R], at: usize) -> &mut Channels<R> {
    x[at..].first_chunk_mut().expect("channels are whole groups")
}

/// `sum += a · x`.
#[inline(always)]
fn add_scaled<R: Real, const FUSED: bool>(sum: &mut Channels<R>, a: R, x: &Channels<R>) {
    for (sum, &x) in sum.iter_mut().zip(x) {
        *sum = multiply_add::<R, FUSED>(a, x, *sum);
    }
}

/// `sum += a · b`, channel by channel.
#[inline(always)]
fn add_product<R: Real, const FUSED: bool>(sum: &mut Channels<R>, a: &Channels<R>, b: &Channels<R>) {
    for ((sum, &a), &b) in sum.iter_mut().zip(a).zip(b) {
        *sum = multiply_add::<R, FUSED>(a, b, *sum);
    }
}

/// Adds the dot product of `a` and `b` to partial sums.
#[inline(always)]
fn add_dot<R: Real, const FUSED: bool>(sums: &mut [R; LANES], a: &Channels<R>, b: &Channels<R>) {
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum = multiply_add::<R, FUSED>(a, b, *sum);
        }
    }
}

/// The sum of partial sums.
#[inline(always)]
pub(super) fn total<R: Real>(sums: &[R; LANES]) -> R {
    let [a, b, c, d, e, f, g, h] = *sums;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// Sizes of a path: components of the features and of the messages, channels, and the distance between rows of messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub features: usize,
    pub messages: usize,
    pub channels: usize,
    pub stride: usize,
}

/// Adds a message: `out[k] += w · Σ_i matrix[k][i] x[i]` for each channel.
#[inline(always)]
pub(super) fn send<R: Real, const FUSED: bool>(s: Sizes, x: &[R], w: &[R], matrix: &[R], out: &mut [R]) {
    for u in (0..s.channels).step_by(GROUP) {
        let w = group(w, u);
        for k in 0..s.messages {
            let mut sum = [R::default(); GROUP];
            for i in 0..s.features {
                add_scaled::<R, FUSED>(&mut sum, matrix[k * s.features + i], group(x, i * s.channels + u));
            }
            add_product::<R, FUSED>(group_mut(out, k * s.stride + u), w, &sum);
        }
    }
}

/// [`send`] for features of degree 0: `out[k] += matrix[k] · (w x)`.
#[inline(always)]
pub(super) fn send_scalars<R: Real, const FUSED: bool>(
    s: Sizes,
    x: &[R],
    w: &[R],
    matrix: &[R],
    out: &mut [R],
) {
    for u in (0..s.channels).step_by(GROUP) {
        let (w, x) = (group(w, u), group(x, u));
        let product: Channels<R> = std::array::from_fn(|c| w[c] * x[c]);
        for k in 0..s.messages {
            add_scaled::<R, FUSED>(group_mut(out, k * s.stride + u), matrix[k], &product);
        }
    }
}

/// [`send`] for harmonics of degree 0: `out[k] += factor · w · x[k]`.
#[inline(always)]
pub(super) fn send_as_is<R: Real, const FUSED: bool>(s: Sizes, x: &[R], w: &[R], factor: R, out: &mut [R]) {
    for u in (0..s.channels).step_by(GROUP) {
        let w = group(w, u);
        let scaled: Channels<R> = std::array::from_fn(|c| factor * w[c]);
        for k in 0..s.messages {
            add_product::<R, FUSED>(group_mut(out, k * s.stride + u), &scaled, group(x, k * s.channels + u));
        }
    }
}

/// What the backward pass of a path reads: features `x` of the sender, radial weights and their slopes, gradients `y` of
/// the receiver's messages.
#[derive(Clone, Copy)]
pub(super) struct Given<'a, R> {
    pub x: &'a [R],
    pub w: &'a [R],
    pub slope: &'a [R],
    pub y: &'a [R],
}

/// The backward pass of [`send`]: adds the gradient of the features to `gradient`, that of the distance to the partial
/// sums `radial`, and leaves Σ_u w x[i] y[k] in `pairs[k][i]`, the gradient of the matrix, as partial sums.
#[inline(always)]
pub(super) fn receive<R: Real, const FUSED: bool>(
    s: Sizes,
    given: Given<'_, R>,
    matrix: &[R],
    gradient: &mut [R],
    radial: &mut [R; LANES],
    pairs: &mut [[R; LANES]],
) {
    pairs[..s.messages * s.features].fill([R::default(); LANES]);
    for u in (0..s.channels).step_by(GROUP) {
        let w = group(given.w, u);
        let mut along = [R::default(); GROUP];
        for i in 0..s.features {
            let x = group(given.x, i * s.channels + u);
            let mut sum = [R::default(); GROUP];
            for k in 0..s.messages {
                add_scaled::<R, FUSED>(
                    &mut sum,
                    matrix[k * s.features + i],
                    group(given.y, k * s.stride + u),
                );
            }
            add_product::<R, FUSED>(group_mut(gradient, i * s.channels + u), w, &sum);
            add_product::<R, FUSED>(&mut along, x, &sum);
            let weighted: Channels<R> = std::array::from_fn(|c| w[c] * x[c]);
            for k in 0..s.messages {
                let pair = &mut pairs[k * s.features + i];
                add_dot::<R, FUSED>(pair, &weighted, group(given.y, k * s.stride + u));
            }
        }
        add_dot::<R, FUSED>(radial, group(given.slope, u), &along);
    }
}

/// The backward pass of [`send_as_is`]: there is no gradient of the direction.
#[inline(always)]
pub(super) fn receive_as_is<R: Real, const FUSED: bool>(
    s: Sizes,
    given: Given<'_, R>,
    factor: R,
    gradient: &mut [R],
    radial: &mut [R; LANES],
) {
    for u in (0..s.channels).step_by(GROUP) {
        let w = group(given.w, u);
        let scaled: Channels<R> = std::array::from_fn(|c| factor * w[c]);
        let mut along = [R::default(); GROUP];
        for k in 0..s.messages {
            let y = group(given.y, k * s.stride + u);
            add_product::<R, FUSED>(group_mut(gradient, k * s.channels + u), &scaled, y);
            add_product::<R, FUSED>(&mut along, group(given.x, k * s.channels + u), y);
        }
        let slope: Channels<R> = std::array::from_fn(|c| factor * group(given.slope, u)[c]);
        add_dot::<R, FUSED>(radial, &slope, &along);
    }
}

/// `sum[k] += harmonics[k] · w` for each channel; rows of the sum are `channels` numbers long.
#[inline(always)]
pub(super) fn spread<R: Real, const FUSED: bool>(w: &[R], harmonics: &[R], sum: &mut [R]) {
    let channels = w.len();
    for u in (0..channels).step_by(GROUP) {
        let w = group(w, u);
        for (k, &y) in harmonics.iter().enumerate() {
            add_scaled::<R, FUSED>(group_mut(sum, k * channels + u), y, w);
        }
    }
}

/// Dot products of `w` and of `slope` with each row of `rows`, as partial sums: `out[k] += (w · row k, slope · row k)`.
#[inline(always)]
pub(super) fn project<R: Real, const FUSED: bool>(
    w: &[R],
    slope: &[R],
    rows: &[R],
    out: &mut [[[R; LANES]; 2]],
) {
    let channels = w.len();
    for u in (0..channels).step_by(GROUP) {
        let (w, slope) = (group(w, u), group(slope, u));
        for (k, [value, tilt]) in out.iter_mut().enumerate() {
            let row = group(rows, k * channels + u);
            add_dot::<R, FUSED>(value, w, row);
            add_dot::<R, FUSED>(tilt, slope, row);
        }
    }
}
