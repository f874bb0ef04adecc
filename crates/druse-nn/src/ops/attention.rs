//! Attention within small sets of tokens, with features of the pairs.

use std::sync::Arc;

use burn::tensor::{IndexingUpdateOp, Tensor, activation};

use super::gather::index_tensor;
use super::host::{HostOp, Mat, Matrix, apply};
use crate::arch::vectorized;

/// Tokens in sets that do not see each other: a set's tokens are consecutive rows, and so are the ordered pairs of them,
/// a row of pairs for each first token. Cloning shares the numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSets {
    sizes: Arc<[u32]>,
}

impl TokenSets {
    /// Sets of these numbers of tokens.
    pub fn new(sizes: impl Into<Arc<[u32]>>) -> Self {
        Self { sizes: sizes.into() }
    }

    /// Number of tokens of each set.
    pub fn sizes(&self) -> &[u32] {
        &self.sizes
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.sizes.iter().map(|&n| n as usize).sum()
    }

    /// Number of ordered pairs.
    pub fn pairs(&self) -> usize {
        self.sizes.iter().map(|&n| (n as usize).pow(2)).sum()
    }

    /// The first and the second token of each pair.
    pub fn pair_tokens(&self) -> [Vec<u32>; 2] {
        let [mut first, mut second] = [(); 2].map(|()| Vec::with_capacity(self.pairs()));
        let mut start = 0;
        for &n in &*self.sizes {
            for a in start..start + n {
                for b in start..start + n {
                    first.push(a);
                    second.push(b);
                }
            }
            start += n;
        }
        [first, second]
    }

    /// The set of each token.
    pub fn token_sets(&self) -> Vec<u32> {
        (0..).zip(&*self.sizes).flat_map(|(set, &n)| std::iter::repeat_n(set, n as usize)).collect()
    }
}

/// Multi-head attention of each token over those of its set, biased and gated by pair:
/// `y_a = Σ_b softmax_b(q_a·k_b / √c + bias_ab) (v_b ⊙ gate_ab)`, head by head of c channels.
///
/// `qkv` is (tokens, 3 · width): queries, keys, values; `bias` is (pairs, heads); `gate` is (pairs, width). The result is
/// (tokens, width).
///
/// # Panics
/// When the shapes do not agree or the heads do not divide the width.
pub fn pair_attention(qkv: Tensor<2>, bias: Tensor<2>, gate: Tensor<2>, sets: &TokenSets) -> Tensor<2> {
    let ([tokens, three], [pairs, heads], gates) = (qkv.dims(), bias.dims(), gate.dims());
    assert_eq!([tokens, pairs], [sets.tokens(), sets.pairs()], "tokens and pairs of attention");
    assert_eq!([pairs, three / 3], gates, "gates of attention");
    assert!(three.is_multiple_of(3 * heads), "{heads} heads of {} channels", three / 3);
    apply(&PairAttention { sets: sets.clone() }, [qkv, bias, gate])
}

#[derive(Debug, Clone)]
pub(crate) struct PairAttention {
    pub sets: TokenSets,
}

/// Sizes of one attention.
#[derive(Clone, Copy)]
struct Sizes {
    width: usize,
    heads: usize,
    channels: usize,
}

impl Sizes {
    fn of(bias: Mat<'_>, gate: Mat<'_>) -> Self {
        let (width, heads) = (gate.cols, bias.cols);
        Self { width, heads, channels: width / heads }
    }

    /// Columns of a head in the queries, keys or values of a token.
    fn row<'a>(&self, qkv: &'a [f32], part: usize, token: usize, head: usize) -> &'a [f32] {
        &qkv[self.place(part, token, head)..][..self.channels]
    }

    fn place(&self, part: usize, token: usize, head: usize) -> usize {
        (3 * token + part) * self.width + head * self.channels
    }
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0f32; LANES];
    let (xs, ys) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = xs.remainder().iter().zip(ys.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in xs.zip(ys) {
        for i in 0..LANES {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// Weights of the pairs of a token for one head, in place of their scores.
#[inline(always)]
fn softmax(scores: &mut [f32]) {
    let most = scores.iter().fold(f32::NEG_INFINITY, |m, &s| m.max(s));
    let mut sum = 0.0;
    for s in scores.iter_mut() {
        *s = (*s - most).exp();
        sum += *s;
    }
    for s in scores {
        *s /= sum;
    }
}

impl PairAttention {
    /// For each set: its first token, its first pair, its size.
    fn sets(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let mut place = (0, 0);
        self.sets.sizes().iter().map(move |&n| {
            let (token, pair) = place;
            let n = n as usize;
            place = (token + n, pair + n * n);
            (token, pair, n)
        })
    }
}

impl HostOp<3> for PairAttention {
    fn forward(&self, [qkv, bias, gate]: [Mat<'_>; 3], keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let sizes = Sizes::of(bias, gate);
        let scale = 1.0 / (sizes.channels as f32).sqrt();
        let mut out = Matrix::zeros(qkv.rows, sizes.width);
        // (pair, head)
        let mut weights = vec![0f32; bias.data.len()];
        let mut scores = Vec::new();
        vectorized!(for (token, pair, n) in self.sets() {
            scores.resize(n, 0.0);
            for a in 0..n {
                let pairs = pair + a * n;
                for head in 0..sizes.heads {
                    let q = sizes.row(qkv.data, 0, token + a, head);
                    for (b, s) in scores.iter_mut().enumerate() {
                        let k = sizes.row(qkv.data, 1, token + b, head);
                        *s = dot(q, k) * scale + bias.data[(pairs + b) * sizes.heads + head];
                    }
                    softmax(&mut scores);
                    let at = (token + a) * sizes.width + head * sizes.channels;
                    let y = &mut out.data[at..][..sizes.channels];
                    for (b, &w) in scores.iter().enumerate() {
                        weights[(pairs + b) * sizes.heads + head] = w;
                        let v = sizes.row(qkv.data, 2, token + b, head);
                        let at = (pairs + b) * sizes.width + head * sizes.channels;
                        let g = &gate.data[at..][..sizes.channels];
                        for ((y, v), g) in y.iter_mut().zip(v).zip(g) {
                            *y += w * v * g;
                        }
                    }
                }
            }
        });
        (out, if keep { vec![weights] } else { Vec::new() })
    }

    fn backward(
        &self,
        [qkv, bias, gate]: [Mat<'_>; 3],
        kept: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let sizes = Sizes::of(bias, gate);
        let scale = 1.0 / (sizes.channels as f32).sqrt();
        let weights = &kept[0];
        let [mut d_qkv, mut d_bias, mut d_gate] = [qkv, bias, gate].map(|m| Matrix::zeros(m.rows, m.cols));
        let mut slopes = Vec::new();
        vectorized!(for (token, pair, n) in self.sets() {
            slopes.resize(n, 0.0);
            for a in 0..n {
                let pairs = pair + a * n;
                for head in 0..sizes.heads {
                    let at = (token + a) * sizes.width + head * sizes.channels;
                    let dy = &grad.data[at..][..sizes.channels];
                    for (b, slope) in slopes.iter_mut().enumerate() {
                        let w = weights[(pairs + b) * sizes.heads + head];
                        let at = (pairs + b) * sizes.width + head * sizes.channels;
                        let v = sizes.place(2, token + b, head);
                        let values = &qkv.data[v..][..sizes.channels];
                        let gates = &gate.data[at..][..sizes.channels];
                        let d_values = &mut d_qkv.data[v..][..sizes.channels];
                        let d_gates = &mut d_gate.data[at..][..sizes.channels];
                        let mut sum = 0.0;
                        for ((((dy, v), g), dv), dg) in
                            dy.iter().zip(values).zip(gates).zip(d_values).zip(d_gates)
                        {
                            sum += dy * v * g;
                            *dv += w * dy * g;
                            *dg = w * dy * v;
                        }
                        *slope = sum;
                    }
                    let weight = |b: usize| weights[(pairs + b) * sizes.heads + head];
                    let mean: f32 = slopes.iter().enumerate().map(|(b, s)| weight(b) * s).sum();
                    let q = sizes.place(0, token + a, head);
                    for (b, slope) in slopes.iter().enumerate() {
                        let ds = weight(b) * (slope - mean);
                        d_bias.data[(pairs + b) * sizes.heads + head] = ds;
                        let (ds, k) = (ds * scale, sizes.place(1, token + b, head));
                        for c in 0..sizes.channels {
                            d_qkv.data[q + c] += ds * qkv.data[k + c];
                            d_qkv.data[k + c] += ds * qkv.data[q + c];
                        }
                    }
                }
            }
        });
        [Some(d_qkv), Some(d_bias), Some(d_gate)]
    }

    fn compose(&self, [qkv, bias, gate]: [Tensor<2>; 3]) -> Tensor<2> {
        let ([pairs, width], [_, heads], device) = (gate.dims(), bias.dims(), gate.device());
        let channels = width / heads;
        let [first, second] = self.sets.pair_tokens().map(|tokens| index_tensor(&tokens, &device));
        let part = |i: usize| qkv.clone().narrow(1, i * width, width);
        let (q, k) = (part(0).select(0, first.clone()), part(1).select(0, second.clone()));
        let scores = (q * k).reshape([pairs, heads, channels]).sum_dim(2).reshape([pairs, heads]);
        let scores = scores.div_scalar((channels as f32).sqrt()) + bias;
        // Sets of one size are one batch of softmaxes: sizes differ, so each set's rows are taken by themselves.
        let weights: Vec<Tensor<2>> = self
            .sets()
            .map(|(_, pair, n)| {
                let own = scores.clone().narrow(0, pair, n * n).reshape([n, n, heads]);
                activation::softmax(own, 1).reshape([n * n, heads])
            })
            .collect();
        let weights = Tensor::cat(weights, 0).reshape([pairs, heads, 1]).expand([pairs, heads, channels]);
        let values = part(2).select(0, second) * gate * weights.reshape([pairs, width]);
        Tensor::zeros([self.sets.tokens(), width], &device).select_assign(
            0,
            first,
            values,
            IndexingUpdateOp::Add,
        )
    }
}
