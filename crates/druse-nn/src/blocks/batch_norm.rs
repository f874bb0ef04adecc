//! Batch normalization.

use burn::tensor::Tensor;

use crate::ops;
use crate::{BufferUpdate, Init, ParamBuilder, ParamId, Params};

/// Batch normalization over rows (Ioffe and Szegedy 2015, Algorithms 1 and 2): every feature is shifted and scaled,
///
/// `y = γ (x - μ) / √(σ² + ε) + β`
///
/// In training mode μ and σ² are mean and (biased) variance over the rows of `x`, and the running statistics move towards
/// them, `r ← (1 - momentum) r + momentum s`, the variance towards the unbiased one, n / (n - 1) σ². In evaluation mode μ
/// and σ² are the running statistics, so a row does not depend on its company.
///
/// A batch that is cut into micro-batches is normalized in each by itself, and each moves the running statistics: a
/// model with this layer has to declare which statistics it means.
#[derive(Debug, Clone)]
pub struct BatchNorm {
    gain: ParamId,
    bias: ParamId,
    mean: ParamId,
    variance: ParamId,
    momentum: f64,
    epsilon: f64,
    biased: bool,
}

impl BatchNorm {
    /// Weight of the latest statistics in the running ones, unless told otherwise.
    pub const MOMENTUM: f64 = 0.1;

    /// Added to the variance, unless told otherwise.
    pub const EPSILON: f64 = 1e-5;

    /// Registers `name.weight` (γ, ones) and `name.bias` (β, zeros), and the buffers `name.running_mean` (zeros) and
    /// `name.running_var` (ones), each with one number for each feature.
    pub fn new(builder: &mut ParamBuilder, name: &str, features: usize) -> Self {
        Self::with_constants(builder, name, features, Self::MOMENTUM, Self::EPSILON)
    }

    /// [`BatchNorm::new`] with other constants.
    pub fn with_constants(
        builder: &mut ParamBuilder,
        name: &str,
        features: usize,
        momentum: f64,
        epsilon: f64,
    ) -> Self {
        let [zeros, ones] = [Init::Zeros, Init::Constant(1.0)];
        Self {
            gain: builder.add(format!("{name}.weight"), &[features], ones),
            bias: builder.add(format!("{name}.bias"), &[features], zeros),
            mean: builder.buffer(format!("{name}.running_mean"), &[features], zeros),
            variance: builder.buffer(format!("{name}.running_var"), &[features], ones),
            momentum,
            epsilon,
            biased: false,
        }
    }

    /// The same layer with running variances that move towards the biased variance of the batch, σ² itself.
    #[must_use]
    pub fn with_biased_variance(self) -> Self {
        Self { biased: true, ..self }
    }

    /// (rows, features) → (rows, features). A single row has no variance: in training mode it becomes β and moves the
    /// running mean alone; without rows nothing moves.
    pub fn forward(&self, params: &Params, x: Tensor<2>) -> Tensor<2> {
        self.forward_as(params, x, params.is_training(), 1.0)
    }

    /// [`BatchNorm::forward`] with the statistics of the batch or the running ones, whatever the mode of the parameters, and
    /// with a leaky ReLU of this slope behind it (1 for none). Running statistics move in training mode, where those of the
    /// batch are used.
    pub fn forward_as(&self, params: &Params, x: Tensor<2>, of_batch: bool, slope: f32) -> Tensor<2> {
        let (moments, of_batch) = self.moments(params, &x, of_batch);
        let [gain, bias] = [self.gain, self.bias].map(|w| params.get(w));
        let constants = [self.epsilon as f32, slope];
        ops::batch_norm_leaky(x, moments, gain, bias, constants, !of_batch)
    }

    /// [`BatchNorm::forward`] with a SiLU behind it.
    pub fn forward_silu(&self, params: &Params, x: Tensor<2>) -> Tensor<2> {
        let (moments, of_batch) = self.moments(params, &x, params.is_training());
        let [gain, bias] = [self.gain, self.bias].map(|w| params.get(w));
        ops::batch_norm_silu(x, moments, gain, bias, self.epsilon as f32, !of_batch)
    }

    /// Mean and variance (2, features), of the batch (then they are noted) or the running ones, and whether they are the former.
    fn moments(&self, params: &Params, x: &Tensor<2>, of_batch: bool) -> (Tensor<2>, bool) {
        let rows = x.dims()[0];
        let of_batch = of_batch && rows > 0;
        let moments = match of_batch {
            true => ops::column_moments(x.clone().detach()),
            false => Tensor::cat(vec![params.get(self.mean), params.get(self.variance)], 0),
        };
        if of_batch {
            self.note(params, self.mean, moments.clone().narrow(0, 0, 1));
            if rows > 1 {
                let unbiased = if self.biased { 1.0 } else { rows as f64 / (rows - 1) as f64 };
                self.note(params, self.variance, moments.clone().narrow(0, 1, 1).mul_scalar(unbiased));
            }
        }
        (moments, of_batch)
    }

    fn note(&self, params: &Params, buffer: ParamId, value: Tensor<2>) {
        params.note_update(buffer, BufferUpdate::Average { momentum: self.momentum, value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu;
    use crate::ops::matrix;

    const X: [f32; 6] = [1.0, 10.0, 2.0, 30.0, 6.0, 20.0];

    fn layer() -> (BatchNorm, Params) {
        let mut builder = ParamBuilder::default();
        let norm = BatchNorm::new(&mut builder, "n", 2);
        let specs = builder.finish();
        let values = [vec![2.0, 1.0], vec![0.5, 0.0], vec![1.0, 2.0], vec![4.0, 9.0]];
        (norm, Params::from_host(&specs, &values, &cpu()))
    }

    fn close(a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len());
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4 * b.abs().max(1.0)), "{a:?} {b:?}");
    }

    fn host(t: Tensor<2>) -> Vec<f32> {
        t.to_data().try_into_vec().unwrap()
    }

    #[test]
    fn training_uses_the_batch_and_evaluation_what_was_gathered() {
        let (norm, mut params) = layer();
        // Means 3 and 20, biased variances 14/3 and 200/3.
        let training = params.clone().in_training();
        let y = host(norm.forward(&training, matrix(X.to_vec(), 2, &cpu())));
        let (a, b) = ((14.0_f32 / 3.0 + 1e-5).sqrt(), (200.0_f32 / 3.0 + 1e-5).sqrt());
        close(&y, &[-4.0 / a + 0.5, -10.0 / b, -2.0 / a + 0.5, 10.0 / b, 6.0 / a + 0.5, 0.0]);
        params.apply_updates(training.take_updates());
        // Unbiased variances 7 and 100.
        close(&params.to_host()[2], &[0.9 + 0.3, 1.8 + 2.0]);
        close(&params.to_host()[3], &[3.6 + 0.7, 8.1 + 10.0]);
        let y = host(norm.forward(&params, matrix(vec![1.2, 21.9], 2, &cpu())));
        close(&y, &[0.5, 18.1 / (18.1_f32 + 1e-5).sqrt()]);
    }

    #[test]
    fn a_single_row_has_no_variance() {
        let (norm, mut params) = layer();
        let training = params.clone().in_training();
        close(&host(norm.forward(&training, matrix(vec![3.0, 7.0], 2, &cpu()))), &[0.5, 0.0]);
        params.apply_updates(training.take_updates());
        close(&params.to_host()[2], &[1.2, 2.5]);
        close(&params.to_host()[3], &[4.0, 9.0]);
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let (norm, params) = layer();
        let weights = matrix(vec![0.3, -1.0, 0.7, 0.2, -0.4, 0.9], 2, &cpu());
        for training in [true, false] {
            let mode = |p: Params| if training { p.in_training() } else { p };
            let loss = |p: &Params, x: Tensor<2>, w: Tensor<2>| {
                let y = norm.forward(p, x);
                (y.clone() * y * w).sum()
            };
            let value = |values: &[Vec<f32>], x: &[f32]| {
                let p = mode(Params::from_host(params.specs(), values, &cpu()));
                let sum = loss(&p, matrix(x.to_vec(), 2, &cpu()), weights.clone());
                f64::from(sum.into_scalar::<f32>())
            };
            let tracked = mode(params.tracked());
            let x = Tensor::from_inner(matrix(X.to_vec(), 2, &cpu())).require_grad();
            let sum = || loss(&tracked, x.clone(), Tensor::from_inner(weights.clone()));
            let dx = host(x.grad(&sum().backward()).unwrap());
            let tracked = mode(params.tracked());
            let sum = loss(
                &tracked,
                Tensor::from_inner(matrix(X.to_vec(), 2, &cpu())),
                Tensor::from_inner(weights.clone()),
            );
            let grads: Vec<Vec<f32>> = tracked.gradients(&sum).into_iter().map(host).collect();
            let agree = |exact: f32, [plus, minus]: [f64; 2], h: f64| {
                let difference = (plus - minus) / (2.0 * h);
                assert!(
                    (f64::from(exact) - difference).abs() < 3e-3 * difference.abs().max(0.1),
                    "{exact} {difference}"
                );
            };
            let start = params.to_host();
            for i in 0..X.len() {
                let at = |h: f32| {
                    let mut x = X.to_vec();
                    x[i] += h;
                    value(&start, &x)
                };
                agree(dx[i], [at(0.05), at(-0.05)], 0.05);
            }
            for (p, grad) in grads.iter().enumerate() {
                for (i, &exact) in grad.iter().enumerate() {
                    let at = |h: f32| {
                        let mut values = start.clone();
                        values[p][i] += h;
                        value(&values, &X)
                    };
                    agree(exact, [at(0.05), at(-0.05)], 0.05);
                }
            }
        }
    }
}
