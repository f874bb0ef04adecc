//! Convolutions and their transposes.

use burn::tensor::Tensor;

use super::{ConvGeometry, engine, gathered, passes};
use crate::ops::dense::add_rows_to;
use crate::ops::host::{HostOp, Mat, Matrix, apply};

/// The convolution of x (see [`ConvGeometry`]): x is (batch · pixels, in), the weight (taps · in, out), the bias (1, out),
/// the result (batch · pixels, out).
///
/// # Panics
/// When a shape does not fit the geometry.
pub fn conv(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<2>>, geometry: &ConvGeometry) -> Tensor<2> {
    let g = *geometry;
    assert_eq!(x.dims(), [g.in_rows(), g.in_channels], "shape of what is convolved");
    assert_eq!(weight.dims(), g.weight_shape(), "shape of the weight of a convolution");
    let op = Conv { geometry: g, transposed: false };
    with_bias(op, x, weight, bias, g.out_channels)
}

/// The transpose of the convolution that the geometry describes ([`ConvGeometry::transposed`]): y is (batch · pixels, out)
/// with the pixels of that convolution's result, its weight is (taps · in, out), the bias (1, in), the result
/// (batch · pixels, in): `x[p, i] = b[i] + Σ_{q, k: q · stride + k - padding = p} Σ_o W[k, i, o] y[q, o]`.
///
/// # Panics
/// When a shape does not fit the geometry.
pub fn conv_transposed(
    y: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<2>>,
    geometry: &ConvGeometry,
) -> Tensor<2> {
    let g = *geometry;
    assert_eq!(y.dims(), [g.out_rows(), g.out_channels], "shape of what is convolved");
    assert_eq!(weight.dims(), g.weight_shape(), "shape of the weight of a convolution");
    with_bias(Conv { geometry: g, transposed: true }, y, weight, bias, g.in_channels)
}

fn with_bias(
    op: Conv,
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<2>>,
    channels: usize,
) -> Tensor<2> {
    match bias {
        None => apply(&op, [x, weight]),
        Some(bias) => {
            assert_eq!(bias.dims(), [1, channels], "shape of the bias of a convolution");
            apply(&BiasedConv(op), [x, weight, bias])
        }
    }
}

/// A convolution without bias, or its transpose.
#[derive(Debug, Clone)]
pub(crate) struct Conv {
    pub geometry: ConvGeometry,
    pub transposed: bool,
}

impl Conv {
    fn run(&self, x: Mat<'_>, w: Mat<'_>, bias: Option<&[f32]>) -> Matrix {
        let g = &self.geometry;
        match self.transposed {
            false => passes::over(g, x, w, bias),
            true => passes::under(g, x, w, bias),
        }
    }

    fn gradients(&self, [x, w]: [Mat<'_>; 2], grad: Mat<'_>, wanted: [bool; 2]) -> [Option<Matrix>; 2] {
        let g = &self.geometry;
        let dx = wanted[0].then(|| match self.transposed {
            false => passes::under(g, grad, w, None),
            true => passes::over(g, grad, w, None),
        });
        let dw = wanted[1].then(|| match self.transposed {
            false => passes::by_weight(g, x, grad),
            true => passes::by_weight(g, grad, x),
        });
        [dx, dw]
    }
}

impl HostOp<2> for Conv {
    fn forward(&self, [x, w]: [Mat<'_>; 2], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        (self.run(x, w, None), Vec::new())
    }

    fn backward(
        &self,
        inputs: [Mat<'_>; 2],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 2],
    ) -> [Option<Matrix>; 2] {
        self.gradients(inputs, grad, wanted)
    }

    fn compose(&self, [x, w]: [Tensor<2>; 2]) -> Tensor<2> {
        let host = crate::device::is_host(&x.device());
        match (self.transposed, host) {
            (false, true) => engine::over(&self.geometry, x, w),
            (true, true) => engine::under(&self.geometry, x, w),
            (false, false) => gathered::over(&self.geometry, x, w),
            (true, false) => gathered::under(&self.geometry, x, w),
        }
    }
}

/// The same with a bias.
#[derive(Debug, Clone)]
pub(crate) struct BiasedConv(pub Conv);

impl HostOp<3> for BiasedConv {
    fn forward(&self, [x, w, b]: [Mat<'_>; 3], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        (self.0.run(x, w, Some(b.data)), Vec::new())
    }

    fn backward(
        &self,
        [x, w, b]: [Mat<'_>; 3],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let [dx, dw] = self.0.gradients([x, w], grad, [wanted[0], wanted[1]]);
        let db = wanted[2].then(|| {
            let mut db = Matrix::zeros(1, b.cols);
            add_rows_to(&mut db.data, grad.data);
            db
        });
        [dx, dw, db]
    }

    fn compose(&self, [x, w, b]: [Tensor<2>; 3]) -> Tensor<2> {
        self.0.compose([x, w]) + b
    }
}
