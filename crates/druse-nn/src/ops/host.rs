//! Hand-written operations for the CPU backend.
//!
//! An [`HostOp`] sees its inputs as plain slices, in the forward and in the backward pass; on every other backend its
//! composition of ordinary tensor operations runs instead, and tests compare the two.
//! The drivers run several small batches side by side, which keeps activations in the caches; only where there are fewer
//! of them than threads, blocks of one operation's rows run in parallel. Results do not depend on the number of threads.

use std::fmt::Debug;

use burn::backend::{Autodiff, DispatchDevice, Flex};
use burn::tensor::{DType, Shape, Tensor, TensorData};
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::NoCheckpointing;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_flex::FlexTensor;

#[cfg(feature = "gpu")]
use super::device_op::{self, DeviceOp};
use super::product::Weight;

/// A row-major matrix borrowed from a tensor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mat<'a> {
    pub data: &'a [f32],
    pub rows: usize,
    pub cols: usize,
    /// The tensor, if the matrix is the whole of one.
    pub owner: Option<&'a FlexTensor>,
}

impl<'a> Mat<'a> {
    /// Some columns of the matrix as a weight (out, in).
    ///
    /// # Panics
    /// When it has fewer columns.
    pub fn columns(&self, from: usize, len: usize) -> Weight<'a> {
        assert!(from + len <= self.cols, "a weight of {} columns has no {from} + {len}", self.cols);
        let data = &self.data[from.min(self.data.len())..];
        Weight { data, rows: self.rows, cols: len, stride: self.cols, owner: self.owner }
    }

    /// The matrix as a weight (out, in).
    pub fn weight(&self) -> Weight<'a> {
        self.columns(0, self.cols)
    }

    /// The same numbers as a weight (out, in) with so many inputs.
    ///
    /// # Panics
    /// When they do not fill rows of that length.
    pub fn weight_of(&self, cols: usize) -> Weight<'a> {
        assert!(self.data.len().is_multiple_of(cols), "{} numbers in rows of {cols}", self.data.len());
        let rows = self.data.len() / cols;
        Weight { data: self.data, rows, cols, stride: cols, owner: self.owner }
    }
}

/// A row-major matrix.
#[derive(Debug, Clone, Default)]
pub(crate) struct Matrix {
    pub data: Vec<f32>,
    pub rows: usize,
    pub cols: usize,
}

impl Matrix {
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self { data: vec![0.0; rows * cols], rows, cols }
    }

    fn into_flex(self) -> FlexTensor {
        FlexTensor::from_data(TensorData::new(self.data, [self.rows, self.cols]))
    }
}

/// An operation on `N` matrices with a hand-written derivative.
pub(crate) trait HostOp<const N: usize>: Clone + Debug + Send + Sync + 'static {
    /// The result, and whatever the backward pass wants kept (nothing is kept when `keep` is false).
    fn forward(&self, inputs: [Mat<'_>; N], keep: bool) -> (Matrix, Vec<Vec<f32>>);

    /// Gradients with respect to the inputs for which `wanted` is set, given the gradient of the result.
    fn backward(
        &self,
        inputs: [Mat<'_>; N],
        kept: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; N],
    ) -> [Option<Matrix>; N];

    /// The operation's kernels for GPUs; without them its composition runs there.
    #[cfg(feature = "gpu")]
    fn kernels(&self) -> Option<&dyn DeviceOp<N>> {
        None
    }

    /// The same result from ordinary tensor operations: runs where nothing is written by hand and is the oracle of the
    /// tests.
    fn compose(&self, inputs: [Tensor<2>; N]) -> Tensor<2>;
}

/// Runs `op` by hand on the CPU backend and on GPUs where it has kernels, and by composition elsewhere.
pub(crate) fn apply<O: HostOp<N>, const N: usize>(op: &O, inputs: [Tensor<2>; N]) -> Tensor<2> {
    let plain = inputs.iter().all(|t| t.dtype() == DType::F32);
    // Sampling comes this way hundreds of times a step: one question to each tensor, and nothing is cloned.
    if plain && inputs.iter().all(|t| matches!(t.device().as_dispatch(), DispatchDevice::Flex(_))) {
        let primitives = inputs.map(|t| {
            contiguous(
                t.try_into_primitive::<Flex>().expect("a host tensor without autodiff is a flex tensor"),
            )
        });
        let (out, _) = op.forward(primitives.each_ref().map(mat), false);
        return Tensor::from_primitive::<Flex>(out.into_flex());
    }
    let device = inputs[0].device();
    #[cfg(feature = "gpu")]
    if plain
        && crate::device::is_gpu(&device)
        && let Some(out) = device_op::apply(op, O::kernels, &inputs)
    {
        return out;
    }
    if !(plain && crate::device::is_host(&device)) {
        return op.compose(inputs);
    }
    let tracked = inputs.map(|t| {
        let t = if t.device().is_autodiff() { t } else { Tensor::from_inner(t) };
        t.try_into_primitive::<Autodiff<Flex>>()
            .expect("a host tensor with autodiff is an autodiff flex tensor")
    });
    let guards = tracked.each_ref().map(|t| t.node());
    let primitives = tracked.map(|t| contiguous(t.into_parts().0));
    let step = HostStep::<O, N> { op: op.clone() };
    let result = match step.prepare::<NoCheckpointing>(guards).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (out, kept) = op.forward(primitives.each_ref().map(mat), true);
            prep.finish(HostState { inputs: primitives, kept }, out.into_flex())
        }
        OpsKind::UnTracked(prep) => {
            let (out, _) = op.forward(primitives.each_ref().map(mat), false);
            prep.finish(out.into_flex())
        }
    };
    Tensor::from_primitive::<Autodiff<Flex>>(result)
}

fn contiguous(t: FlexTensor) -> FlexTensor {
    if t.as_slice::<f32>().is_some() { t } else { t.to_contiguous() }
}

fn mat(t: &FlexTensor) -> Mat<'_> {
    let shape: &Shape = t.layout().shape();
    let data = t.as_slice::<f32>().expect("operands were made contiguous");
    Mat { data, rows: shape[0], cols: shape[1], owner: Some(t) }
}

#[derive(Debug, Clone)]
struct HostStep<O, const N: usize> {
    op: O,
}

#[derive(Debug, Clone)]
struct HostState<const N: usize> {
    inputs: [FlexTensor; N],
    kept: Vec<Vec<f32>>,
}

impl<O: HostOp<N>, const N: usize> Backward<Flex, N> for HostStep<O, N> {
    type State = HostState<N>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let inputs = ops.state.inputs.each_ref().map(mat);
        let results = self.op.backward(inputs, &ops.state.kept, mat(&grad), wanted);
        for (parent, result) in ops.parents.into_iter().zip(results) {
            if let (Some(parent), Some(result)) = (parent, result) {
                grads.register::<Flex>(parent.id, result.into_flex());
            }
        }
    }
}
