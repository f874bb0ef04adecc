//! Linear layers, and rows read and summed by index.

use burn::tensor::Tensor;

use super::activation::activated;
use super::dual::Dual;
use crate::graph::Index;
use crate::ops::{self, Activation};

/// `act(x Wᵀ)` with tangent `act'(x Wᵀ) x' Wᵀ`: x is (rows, in), W is (out, in), the result (rows, out).
pub fn dense(x: Dual, weight: Tensor<2>, act: Activation) -> Dual {
    let Some(tangent) = x.tangent else {
        return Dual::constant(ops::dense(x.value, weight, act));
    };
    let z = ops::dense(x.value, weight.clone(), Activation::Identity);
    activated(Dual::new(z, ops::dense(tangent, weight, Activation::Identity)), act)
}

/// `act(x Wᵀ + b)` with tangent `act'(x Wᵀ + b) x' Wᵀ`: x is (rows, in), W is (out, in), b is (1, out), the result (rows, out).
pub fn affine(x: Dual, weight: Tensor<2>, bias: Tensor<2>, act: Activation) -> Dual {
    let Some(tangent) = x.tangent else {
        return Dual::constant(ops::affine(x.value, weight, bias, act));
    };
    let z = ops::affine(x.value, weight.clone(), bias, Activation::Identity);
    activated(Dual::new(z, ops::dense(tangent, weight, Activation::Identity)), act)
}

/// `y[e] = x[index[e]]`, row by row, and the same of the tangent.
pub fn gather(x: Dual, index: &Index) -> Dual {
    x.linear(|x| ops::gather(x, index))
}

/// `y[i] = Σ_e [index[e] = i] x[e]` with `rows` rows, and the same of the tangent; summed in the order of e.
pub fn scatter_sum(x: Dual, index: &Index, rows: usize) -> Dual {
    x.linear(|x| ops::scatter_sum(x, index, rows))
}
