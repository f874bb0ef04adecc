//! Losses of a function and of its derivatives by the inputs.

use burn::tensor::Tensor;

use super::dual::Dual;
use crate::Params;

/// What a loss of values and input gradients gives.
#[derive(Debug, Clone)]
pub struct LossGradients<const N: usize> {
    /// The loss.
    pub loss: f32,
    /// Values `f(x; θ)`.
    pub values: Tensor<2>,
    /// `∂ Σ f / ∂x` for every input, each of the shape of its input.
    pub input_gradients: [Tensor<2>; N],
    /// Total derivative of the loss by every parameter, in the order of the specifications.
    pub gradients: Vec<Tensor<2>>,
}

/// Values `f(x; θ)` and `∂ Σ f / ∂x` for every input: one evaluation and one backward pass that computes no gradients of
/// parameters. Where every value depends on rows of its own (energies of crystals), the sum keeps them apart.
///
/// For an energy as function of [`super::strained_edge_vectors`] these are the negative forces and the volumes times stresses.
pub fn input_gradients<const N: usize>(
    params: &Params,
    inputs: [Tensor<2>; N],
    function: impl Fn(&Params, [Dual; N]) -> Dual,
) -> (Tensor<2>, [Tensor<2>; N]) {
    let leaves = inputs.map(leaf);
    let values = params.scope(|| function(params, leaves.clone().map(Dual::constant))).value;
    if !values.is_tracked() {
        return (values.inner(), leaves.map(|x| x.inner().zeros_like()));
    }
    let mut found = values.clone().sum().backward();
    let gradients = leaves.map(|x| x.grad_remove(&mut found).unwrap_or_else(|| x.inner().zeros_like()));
    (values.inner(), gradients)
}

/// Value and gradients of a loss `L(f, ∂ Σ f / ∂x)` of values and input gradients, by two passes of first order.
///
/// `function` is f, written for [`Dual`]s of the inputs; it is called once for values and derivatives and once along
/// `v = ∂L / ∂(∂f/∂x)`. `loss` gets the values and the input gradients and composes the loss of ordinary tensor operations; the
/// engine differentiates it. With `e = ∂L / ∂f` the gradients are those of `⟨e, f⟩ + ⟨v, ∂f/∂x⟩` with e and v constant. Terms of
/// a loss that do not depend on f are constants here.
///
/// # Panics
/// When the loss depends on nothing that it gets.
///
/// A loss of energies and forces is `(E, G) ↦ Σ (E - E*)² + Σ (-G - F*)²`, the gradient penalty of a Wasserstein critic
/// `(_, g) ↦ mean (|g| - 1)²` (Gulrajani et al., NeurIPS 2017, equation 3).
pub fn loss_gradients<const N: usize>(
    params: &Params,
    inputs: [Tensor<2>; N],
    function: impl Fn(&Params, [Dual; N]) -> Dual,
    loss: impl FnOnce(Tensor<2>, [Tensor<2>; N]) -> Tensor<1>,
) -> LossGradients<N> {
    let inputs = inputs.map(Tensor::inner);
    let (values, input_gradients) = input_gradients(params, inputs.clone(), &function);
    let (f, g) = (leaf(values.clone()), input_gradients.clone().map(leaf));
    let result = loss(f.clone(), g.clone());
    assert!(result.is_tracked(), "a loss is a function of values or of input gradients");
    let mut found = result.backward();
    let by_values = f.grad_remove(&mut found);
    let mut directions = g.map(|g| g.grad_remove(&mut found)).into_iter();

    let tracked = params.tracked();
    let duals = inputs.map(|value| Dual { value, tangent: directions.next().flatten() });
    let out = tracked.scope(|| function(&tracked, duals));
    let by_values = by_values.map(|e| (out.value * e).sum());
    let along = out.tangent.map(Tensor::sum);
    let objective = match (by_values, along) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    };
    let gradients = match objective.filter(Tensor::is_tracked) {
        Some(objective) => tracked.gradients(&objective),
        None => params.values().iter().map(Tensor::zeros_like).collect(),
    };
    let loss = result.into_scalar::<f32>();
    LossGradients { loss, values, input_gradients, gradients }
}

/// A loss `L(∂ Σ f / ∂x)` of input gradients as a number that an ordinary backward pass differentiates by the parameters: for
/// objectives of which it is one term beside others.
///
/// `function` is f, as for [`loss_gradients`]; it is called with these parameters and with the same ones untracked. Where the
/// parameters are not tracked, the loss is a number alone.
///
/// # Panics
/// When the loss depends on nothing that it gets.
pub fn input_gradient_loss<const N: usize>(
    params: &Params,
    inputs: [Tensor<2>; N],
    function: impl Fn(&Params, [Dual; N]) -> Dual,
    loss: impl FnOnce([Tensor<2>; N]) -> Tensor<1>,
) -> Tensor<1> {
    let inputs = inputs.map(|x| if x.device().is_autodiff() { x.inner() } else { x });
    let (_, gradients) = input_gradients(&params.untracked(), inputs.clone(), &function);
    if !params.device().is_autodiff() {
        return loss(gradients);
    }
    let g = gradients.map(leaf);
    let result = loss(g.clone());
    assert!(result.is_tracked(), "a loss is a function of input gradients");
    let mut found = result.backward();
    let mut directions = g.map(|g| g.grad_remove(&mut found)).into_iter();
    let duals = inputs.map(|value| Dual { value, tangent: directions.next().flatten() });
    let value = Tensor::from_inner(result.inner());
    match function(params, duals).tangent {
        // The value is that of the loss, the derivative that of the tangent.
        Some(tangent) => {
            let along = tangent.sum();
            value + (along.clone() - along.detach())
        }
        None => value,
    }
}

/// The numbers as a leaf of a graph of its own.
fn leaf(x: Tensor<2>) -> Tensor<2> {
    x.inner().autodiff().require_grad()
}
