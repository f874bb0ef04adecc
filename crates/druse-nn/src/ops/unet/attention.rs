//! Attention of pixels to pixels and tokens.

use burn::tensor::{Tensor, activation};

use crate::ops::blocks::for_each;
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::{softmax_backward, softmax_in_place};
use crate::ops::product::{BLOCK, Panels, View, add_gradient, multiply, multiply_into};

/// Heads of an attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionHeads {
    /// Number of images.
    pub images: usize,
    /// Heads of the queries.
    pub heads: usize,
    /// Width of a head.
    pub width: usize,
    /// Whether all heads share one head of keys and values (multi-query attention, Shazeer 2019).
    pub shared: bool,
}

/// `softmax(q kᵀ / √width) v` for each image and head: q is (images · queries, heads · width), `[k ‖ v]` is
/// (images · keys, 2 · heads · width), or (images · keys, 2 · width) where the heads share it; the result has the shape of q.
/// Every query of an image attends to all keys of the same image (Vaswani et al. 2017, equation 1).
pub fn attention(q: Tensor<2>, kv: Tensor<2>, heads: AttentionHeads) -> Tensor<2> {
    apply(&Attention(heads), [q, kv])
}

#[derive(Debug, Clone)]
pub(crate) struct Attention(pub AttentionHeads);

/// A part of the work with one head of keys: queries that lie `stride` numbers apart.
#[derive(Clone, Copy)]
struct Group {
    image: usize,
    /// Where the first query begins.
    first: usize,
    stride: usize,
    queries: usize,
    /// Column of the head's keys; its values are behind all keys.
    column: usize,
}

impl Attention {
    fn scale(&self) -> f32 {
        1.0 / (self.0.width as f32).sqrt()
    }

    /// Keys of an image; all work, by head of keys.
    fn groups(&self, q: Mat<'_>, kv: Mat<'_>) -> (usize, Vec<Group>) {
        let AttentionHeads { images, heads, width, shared } = self.0;
        let kv_heads = if shared { 1 } else { heads };
        assert_eq!([q.cols, kv.cols], [heads * width, 2 * kv_heads * width], "widths of the heads");
        let (queries, keys) = (q.rows / images.max(1), kv.rows / images.max(1));
        assert_eq!([q.rows, kv.rows], [images * queries, images * keys], "rows of all images");
        let group = |image: usize, head: usize| {
            let start = image * queries * q.cols;
            // The heads of a query lie one after the other: where they share keys, they are queries of their own.
            match shared {
                true => Group { image, first: start, stride: width, queries: queries * heads, column: 0 },
                false => Group {
                    image,
                    first: start + head * width,
                    stride: q.cols,
                    queries,
                    column: head * width,
                },
            }
        };
        let groups = (0..images).flat_map(|image| (0..kv_heads).map(move |head| group(image, head)));
        (keys, groups.collect())
    }

    fn keys<'a>(&self, kv: Mat<'a>, keys: usize, group: &Group) -> [&'a [f32]; 2] {
        let start = group.image * keys * kv.cols + group.column;
        [&kv.data[start..], &kv.data[start + kv.cols / 2..]]
    }
}

impl HostOp<2> for Attention {
    fn forward(&self, [q, kv]: [Mat<'_>; 2], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let (width, scale) = (self.0.width, self.scale());
        let (keys, groups) = self.groups(q, kv);
        let mut data = vec![0f32; q.data.len()];
        for group in &groups {
            let [k, v] = self.keys(kv, keys, group);
            let k = Panels::current(View::transposed(k, kv.cols), [width, keys]);
            let v = Panels::current(View::rows(v, kv.cols), [keys, width]);
            let out = &mut data[group.first..];
            let rows = |out: &mut [f32], queries: usize, first: usize| {
                let mut scores = vec![0f32; queries * keys];
                let a = View { data: &q.data[first..], row_stride: group.stride, col_stride: 1 };
                multiply(&mut scores, queries, a, &k, false);
                scores.chunks_exact_mut(keys.max(1)).for_each(|row| softmax_in_place(row, scale));
                multiply_into(out, group.stride, queries, View::rows(&scores, keys), &v, false);
            };
            let blocks = out.chunks_mut(BLOCK * group.stride).take(group.queries.div_ceil(BLOCK));
            let operations = 4 * group.queries * keys * width;
            for_each(operations, blocks.enumerate(), |(b, out)| {
                let queries = BLOCK.min(group.queries - b * BLOCK);
                rows(out, queries, group.first + b * BLOCK * group.stride);
            });
        }
        (Matrix { data, rows: q.rows, cols: q.cols }, Vec::new())
    }

    fn backward(
        &self,
        [q, kv]: [Mat<'_>; 2],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 2],
    ) -> [Option<Matrix>; 2] {
        let (width, scale) = (self.0.width, self.scale());
        let (keys, groups) = self.groups(q, kv);
        let mut dq = Matrix::zeros(q.rows, q.cols);
        let mut dkv = Matrix::zeros(kv.rows, kv.cols);
        let half = kv.cols / 2;
        let [mut p, mut dp] = [(); 2].map(|()| vec![0f32; BLOCK * keys]);
        let [mut q_rows, mut g_rows] = [(); 2].map(|()| vec![0f32; BLOCK * width]);
        for group in &groups {
            let [k, v] = self.keys(kv, keys, group);
            let k_rows = Panels::current(View::rows(k, kv.cols), [keys, width]);
            let k = Panels::current(View::transposed(k, kv.cols), [width, keys]);
            let v = Panels::current(View::transposed(v, kv.cols), [width, keys]);
            let key = group.image * keys * kv.cols + group.column;
            for start in (0..group.queries).step_by(BLOCK) {
                let queries = BLOCK.min(group.queries - start);
                let first = group.first + start * group.stride;
                let [q_rows, g_rows] = [(&mut q_rows, q), (&mut g_rows, grad)].map(|(rows, from)| {
                    for (row, from) in rows
                        .chunks_exact_mut(width)
                        .zip(from.data[first..].chunks(group.stride))
                        .take(queries)
                    {
                        row.copy_from_slice(&from[..width]);
                    }
                    &rows[..queries * width]
                });
                let (q, g) = (View::rows(q_rows, width), View::rows(g_rows, width));
                let (p, dp) = (&mut p[..queries * keys], &mut dp[..queries * keys]);
                multiply(p, queries, q, &k, false);
                p.chunks_exact_mut(keys.max(1)).for_each(|row| softmax_in_place(row, scale));
                multiply(dp, queries, g, &v, false);
                let dv = &mut dkv.data[key + half..];
                add_gradient(dv, kv.cols, [keys, width, queries], p, g_rows);
                let rows = p.chunks_exact(keys.max(1)).zip(dp.chunks_exact_mut(keys.max(1)));
                rows.for_each(|(p, dp)| softmax_backward(p, scale, dp));
                let dk = &mut dkv.data[key..];
                add_gradient(dk, kv.cols, [keys, width, queries], dp, q_rows);
                let dq = &mut dq.data[first..];
                multiply_into(dq, group.stride, queries, View::rows(dp, keys), &k_rows, false);
            }
        }
        [Some(dq), Some(dkv)]
    }

    fn compose(&self, [q, kv]: [Tensor<2>; 2]) -> Tensor<2> {
        let AttentionHeads { images, heads, width, shared } = self.0;
        let ([rows, cols], [kv_rows, kv_cols]) = (q.dims(), kv.dims());
        let (queries, keys, kv_heads) = (rows / images, kv_rows / images, if shared { 1 } else { heads });
        let q = q.reshape([images, queries, heads, width]).swap_dims(1, 2);
        let part = |start| {
            let part = kv.clone().narrow(1, start, kv_cols / 2);
            let part: Tensor<4> = part.reshape([images, keys, kv_heads, width]).swap_dims(1, 2);
            part.expand([images, heads, keys, width])
        };
        let scores = q.matmul(part(0).transpose()).mul_scalar(self.scale());
        let out = activation::softmax(scores, 3).matmul(part(kv_cols / 2));
        out.swap_dims(1, 2).reshape([rows, cols])
    }
}
