//! SiLU and its slope, both with a backward pass.

use burn::tensor::{Tensor, activation};

use super::dual::Dual;
use crate::ops::{Activation, HostOp, Mat, Matrix, apply, silu_backward, silu_in_place, silu_slope_backward};

/// `x σ(x)`, entry by entry, with tangent `σ(x) (1 + x (1 - σ(x))) x'`, where σ is the logistic function.
pub fn silu(x: Dual) -> Dual {
    activated(x, Activation::Silu)
}

/// The activation of x.
pub(super) fn activated(x: Dual, act: Activation) -> Dual {
    let Some(scale) = act.scale() else { return x };
    let tangent = x.tangent.map(|t| apply(&SiluTangent { scale }, [x.value.clone(), t]));
    Dual { value: apply(&Silu { scale }, [x.value]), tangent }
}

/// `y = scale · x σ(x)`.
#[derive(Debug, Clone)]
pub(super) struct Silu {
    pub scale: f32,
}

impl HostOp<1> for Silu {
    fn forward(&self, [x]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let mut data = x.data.to_vec();
        silu_in_place(&mut data, self.scale);
        (Matrix { data, rows: x.rows, cols: x.cols }, Vec::new())
    }

    fn backward(
        &self,
        [x]: [Mat<'_>; 1],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 1],
    ) -> [Option<Matrix>; 1] {
        let mut data = grad.data.to_vec();
        silu_backward(x.data, self.scale, &mut data);
        [Some(Matrix { data, rows: x.rows, cols: x.cols })]
    }

    fn compose(&self, [x]: [Tensor<2>; 1]) -> Tensor<2> {
        activation::silu(x).mul_scalar(self.scale)
    }
}

/// `y = φ'(x) t` for `φ(x) = scale · x σ(x)`; its gradients are `φ''(x) t g` and `φ'(x) g`.
#[derive(Debug, Clone)]
pub(super) struct SiluTangent {
    pub scale: f32,
}

impl HostOp<2> for SiluTangent {
    fn forward(&self, [x, t]: [Mat<'_>; 2], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let mut data = t.data.to_vec();
        silu_backward(x.data, self.scale, &mut data);
        (Matrix { data, rows: x.rows, cols: x.cols }, Vec::new())
    }

    fn backward(
        &self,
        [x, t]: [Mat<'_>; 2],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 2],
    ) -> [Option<Matrix>; 2] {
        let mut by_t = grad.data.to_vec();
        let matrix = |data| Some(Matrix { data, rows: x.rows, cols: x.cols });
        if !wanted[0] {
            silu_backward(x.data, self.scale, &mut by_t);
            return [None, matrix(by_t)];
        }
        let mut by_x = t.data.to_vec();
        silu_slope_backward(x.data, self.scale, &mut by_x, &mut by_t);
        [matrix(by_x), matrix(by_t)]
    }

    fn compose(&self, [x, t]: [Tensor<2>; 2]) -> Tensor<2> {
        let s = activation::sigmoid(x.clone());
        let slope = s.clone() * (x * s.neg().add_scalar(1.0)).add_scalar(1.0);
        (slope * t).mul_scalar(self.scale)
    }
}
