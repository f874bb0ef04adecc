//! Operations of GPUs: forward and backward pass as calls of kernels, and their place in the graph of a backward pass.

use std::fmt::Debug;

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::NoCheckpointing;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

/// An operation on `N` matrices of a GPU with a hand-written derivative. All tensors are without autodiff.
pub(crate) trait DeviceOp<const N: usize> {
    /// The result, and what the backward pass wants kept beside the inputs (nothing when `keep` is false).
    fn forward(&self, inputs: [Tensor<2>; N], keep: bool) -> (Tensor<2>, Vec<Tensor<2>>);

    /// Gradients with respect to the inputs for which `wanted` is set, given the gradient of the result.
    fn backward(
        &self,
        inputs: [Tensor<2>; N],
        kept: Vec<Tensor<2>>,
        grad: Tensor<2>,
        wanted: [bool; N],
    ) -> [Option<Tensor<2>>; N];
}

/// What an operation needs to be to wait in a graph for its backward pass.
pub(crate) trait Operation: Clone + Debug + Send + Sync + 'static {}

impl<O: Clone + Debug + Send + Sync + 'static> Operation for O {}

/// How to find the kernels of an operation; some have none.
pub(crate) type KernelsOf<O, const N: usize> = fn(&O) -> Option<&dyn DeviceOp<N>>;

/// Runs the operation's kernels, with a node for the backward pass where an input is differentiated. `None` when the
/// operation has no kernels.
pub(crate) fn apply<O: Operation, const N: usize>(
    op: &O,
    kernels_of: KernelsOf<O, N>,
    inputs: &[Tensor<2>; N],
) -> Option<Tensor<2>> {
    let kernels = kernels_of(op)?;
    if !inputs.iter().any(|t| t.device().is_autodiff()) {
        return Some(kernels.forward(inputs.clone(), false).0);
    }
    let tracked = inputs.clone().map(|t| {
        let t = if t.device().is_autodiff() { t } else { Tensor::from_inner(t) };
        t.try_into_primitive::<Autodiff<CubeBackend>>()
            .expect("a tensor of a GPU with autodiff is an autodiff cube tensor")
    });
    let guards = tracked.each_ref().map(|t| t.node());
    let inputs = tracked.map(|t| Tensor::from_primitive::<CubeBackend>(t.into_parts().0));
    let step = DeviceStep::<O, N> { op: op.clone(), kernels_of };
    let result = match step.prepare::<NoCheckpointing>(guards).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (out, kept) = kernels.forward(inputs.clone(), true);
            prep.finish(DeviceState { inputs, kept }, primitive(out))
        }
        OpsKind::UnTracked(prep) => prep.finish(primitive(kernels.forward(inputs, false).0)),
    };
    Some(Tensor::from_primitive::<Autodiff<CubeBackend>>(result))
}

/// The tensor as the engine's GPU backend has it.
pub(super) fn primitive(t: Tensor<2>) -> CubeTensor {
    t.try_into_primitive::<CubeBackend>().expect("a tensor of a GPU without autodiff is a cube tensor")
}

#[derive(Debug, Clone)]
struct DeviceStep<O, const N: usize> {
    op: O,
    kernels_of: KernelsOf<O, N>,
}

#[derive(Debug, Clone)]
struct DeviceState<const N: usize> {
    inputs: [Tensor<2>; N],
    kept: Vec<Tensor<2>>,
}

impl<O: Operation, const N: usize> Backward<CubeBackend, N> for DeviceStep<O, N> {
    type State = DeviceState<N>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let grad = Tensor::from_primitive::<CubeBackend>(grads.consume::<CubeBackend>(&ops.node));
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let kernels = (self.kernels_of)(&self.op).expect("an operation that ran kernels has them");
        let DeviceState { inputs, kept } = ops.state;
        let results = kernels.backward(inputs, kept, grad, wanted);
        for (parent, result) in ops.parents.into_iter().zip(results) {
            if let (Some(parent), Some(result)) = (parent, result) {
                grads.register::<CubeBackend>(parent.id, primitive(result));
            }
        }
    }
}
