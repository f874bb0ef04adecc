//! Attention whose cost is linear in the number of pixels.

use burn::tensor::{Tensor, activation};

use super::AttentionHeads;
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::{softmax_backward, softmax_in_place};
use crate::ops::product::{View, product, product_into};

/// `softmax(q) (softmax(k)ᵀ v) / √width` for each image and head, where the softmax of q goes over the features of a query
/// and that of k over the keys (Shen et al. 2021, equation 4): q is (images · queries, heads · width), k and v are
/// (images · keys, heads · width), the result has the shape of q. Heads share nothing.
pub fn linear_attention(q: Tensor<2>, k: Tensor<2>, v: Tensor<2>, heads: AttentionHeads) -> Tensor<2> {
    apply(&LinearAttention(heads), [q, k, v])
}

#[derive(Debug, Clone)]
pub(crate) struct LinearAttention(pub AttentionHeads);

/// One head of one image.
struct Head {
    /// Softmax of the queries (queries, width).
    q: Vec<f32>,
    /// Softmax of the keys (width, keys).
    k: Vec<f32>,
    /// `softmax(k)ᵀ v` (width, width).
    context: Vec<f32>,
    /// Where the head's numbers begin in q, and in k and v.
    at: [usize; 2],
}

impl LinearAttention {
    fn scale(&self) -> f32 {
        1.0 / (self.0.width as f32).sqrt()
    }

    fn head(&self, [q, k, v]: [Mat<'_>; 3], image: usize, head: usize) -> Head {
        let (width, stride) = (self.0.width, q.cols);
        let (queries, keys) = (q.rows / self.0.images, k.rows / self.0.images);
        let at = [queries, keys].map(|rows| image * rows * stride + head * width);
        let mut softmax_q = Vec::with_capacity(queries * width);
        for row in q.data[at[0]..].chunks(stride).take(queries) {
            let start = softmax_q.len();
            softmax_q.extend_from_slice(&row[..width]);
            softmax_in_place(&mut softmax_q[start..], 1.0);
        }
        let mut softmax_k = vec![0f32; width * keys];
        for (j, row) in k.data[at[1]..].chunks(stride).take(keys).enumerate() {
            for (d, &x) in row[..width].iter().enumerate() {
                softmax_k[d * keys + j] = x;
            }
        }
        softmax_k.chunks_exact_mut(keys).for_each(|row| softmax_in_place(row, 1.0));
        let mut context = vec![0f32; width * width];
        let v = View::rows(&v.data[at[1]..], stride);
        product(&mut context, [width, width, keys], View::rows(&softmax_k, keys), v, false);
        Head { q: softmax_q, k: softmax_k, context, at }
    }

    fn each(&self, mut work: impl FnMut(usize, usize)) {
        (0..self.0.images).for_each(|image| (0..self.0.heads).for_each(|head| work(image, head)));
    }
}

impl HostOp<3> for LinearAttention {
    fn forward(&self, inputs: [Mat<'_>; 3], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let [q, k, v] = inputs;
        let (width, stride) = (self.0.width, self.0.heads * self.0.width);
        assert_eq!([q.cols, k.cols, v.cols], [stride; 3], "widths of the heads");
        assert_eq!(k.rows, v.rows, "a value for each key");
        let queries = q.rows / self.0.images;
        let mut out = Matrix::zeros(q.rows, q.cols);
        self.each(|image, head| {
            let mut head = self.head(inputs, image, head);
            head.context.iter_mut().for_each(|x| *x *= self.scale());
            let (a, b) = (View::rows(&head.q, width), View::rows(&head.context, width));
            product_into(&mut out.data[head.at[0]..], stride, [queries, width, width], a, b, false);
        });
        (out, Vec::new())
    }

    fn backward(
        &self,
        inputs: [Mat<'_>; 3],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let [q, k, v] = inputs;
        let (width, stride, scale) = (self.0.width, q.cols, self.scale());
        let (queries, keys) = (q.rows / self.0.images, k.rows / self.0.images);
        let [mut dq, mut dk, mut dv] = [q, k, v].map(|m| Matrix::zeros(m.rows, m.cols));
        self.each(|image, head| {
            let head = self.head(inputs, image, head);
            let [at_q, at_k] = head.at;
            let g = View::rows(&grad.data[at_q..], stride);
            let mut softmax_q = vec![0f32; queries * width];
            let transposed = View::transposed(&head.context, width);
            product(&mut softmax_q, [queries, width, width], g, transposed, false);
            let rows = dq.data[at_q..].chunks_mut(stride).take(queries);
            for ((row, d), p) in rows.zip(softmax_q.chunks_exact_mut(width)).zip(head.q.chunks_exact(width)) {
                softmax_backward(p, 1.0, d);
                row[..width].iter_mut().zip(d).for_each(|(x, d)| *x = scale * *d);
            }
            let mut context = vec![0f32; width * width];
            let a = View::transposed(&head.q, width);
            product(&mut context, [width, width, queries], a, g, false);
            context.iter_mut().for_each(|x| *x *= scale);
            let c = View::rows(&context, width);
            let k_rows = View::transposed(&head.k, keys);
            product_into(&mut dv.data[at_k..], stride, [keys, width, width], k_rows, c, false);
            let mut softmax_k = vec![0f32; width * keys];
            let v = View::transposed(&v.data[at_k..], stride);
            product(&mut softmax_k, [width, keys, width], c, v, false);
            let rows = softmax_k.chunks_exact_mut(keys).zip(head.k.chunks_exact(keys));
            for (f, (d, p)) in rows.enumerate() {
                softmax_backward(p, 1.0, d);
                d.iter().enumerate().for_each(|(j, &d)| dk.data[at_k + j * stride + f] = d);
            }
        });
        [Some(dq), Some(dk), Some(dv)]
    }

    fn compose(&self, [q, k, v]: [Tensor<2>; 3]) -> Tensor<2> {
        let AttentionHeads { images, heads, width, .. } = self.0;
        let [rows, cols] = q.dims();
        let split = |t: Tensor<2>| -> Tensor<4> {
            let per_image = t.dims()[0] / images;
            t.reshape([images, per_image, heads, width]).swap_dims(1, 2)
        };
        let q = activation::softmax(split(q), 3).mul_scalar(self.scale());
        let context = activation::softmax(split(k), 2).transpose().matmul(split(v));
        q.matmul(context).swap_dims(1, 2).reshape([rows, cols])
    }
}
