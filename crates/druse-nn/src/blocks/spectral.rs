//! Spectral normalization.

use burn::tensor::Tensor;

use crate::ops::{self, Activation};
use crate::{BufferUpdate, Init, ParamBuilder, ParamId, Params};

/// Keeps lengths from zero where they divide.
const TINY: f64 = 1e-12;

/// A linear layer whose weight is divided by its largest singular value (Miyato et al. 2018, Equation 8), so that it
/// stretches no vector: `y = (W / σ(W)) x + b`.
///
/// σ is found by power iteration (Algorithm 1), one round from the stored vector u in a forward pass:
///
/// `v = Wᵀu / ‖Wᵀu‖,  u' = W v / ‖W v‖,  σ = u'ᵀ W v`
///
/// The gradient takes u' and v as constants. In training mode u' becomes u after the step. All passes of a step begin
/// with the same u, so σ depends neither on how often the layer is used nor on how a batch is cut.
#[derive(Debug, Clone)]
pub struct SpectralLinear {
    weight: ParamId,
    bias: ParamId,
    left: ParamId,
}

impl SpectralLinear {
    /// Registers `name.weight` (out, in), `name.bias` (out) and the buffer `name.u` (out), a random vector of length 1.
    pub fn new(builder: &mut ParamBuilder, name: &str, [input, output]: [usize; 2]) -> Self {
        let init = Init::FanIn(input);
        Self {
            weight: builder.add(format!("{name}.weight"), &[output, input], init),
            bias: builder.add(format!("{name}.bias"), &[output], init),
            left: builder.buffer(format!("{name}.u"), &[output], Init::UnitVector),
        }
    }

    /// (rows, in) → (rows, out), followed by an activation.
    pub fn forward(&self, params: &Params, x: Tensor<2>, act: Activation) -> Tensor<2> {
        ops::affine(x, self.weight(params), params.get(self.bias), act)
    }

    /// `W / σ(W)`, (out, in); notes the next u in training mode.
    pub fn weight(&self, params: &Params) -> Tensor<2> {
        let weight = params.get(self.weight);
        let constant = weight.clone().detach();
        // Rows instead of columns: u is (1, out), v is (1, in).
        let v = unit(params.get(self.left).matmul(constant.clone()));
        let u = unit(v.clone().matmul(constant.transpose()));
        params.note_update(self.left, BufferUpdate::Set(u.clone()));
        let largest = u.matmul(weight.clone()).matmul(v.transpose());
        weight / largest.add_scalar(TINY)
    }
}

/// A weight that every use in training mode divides by its largest singular value, for good: the spectral normalization of
/// tensorflow-addons. Its gradient is that of what is used, with nothing through the division.
///
/// The weight is (rest, last) in the layout of that library: (taps · in, out) of a convolution, (taps · out, in) of a
/// transposed one. One round of a power iteration from the stored u, a row of `last` numbers:
///
/// `v = u Wᵀ / ‖u Wᵀ‖,  u' = v W / ‖v W‖,  σ = v W u'ᵀ`
///
/// A use stores `W / σ` and u', and the next one begins with these. Uses of one step are known beforehand ([`Self::uses`]), and
/// what the last of them stores is noted for whoever drives the training ([`Params::note_rewrite`]). Neither depends on a
/// batch, so all micro-batches of a step note the same.
#[derive(Debug, Clone)]
pub struct RescaledWeight {
    weight: ParamId,
    left: ParamId,
    shape: [usize; 2],
    transposed: bool,
}

impl RescaledWeight {
    /// Registers the buffer `name.u` (1, last) for a weight of this shape (rest, last); `transposed` for one that is stored as
    /// (last, rest), as linear layers are. It begins with normal numbers.
    pub fn new(
        builder: &mut ParamBuilder,
        name: &str,
        weight: ParamId,
        [rest, last]: [usize; 2],
        transposed: bool,
    ) -> Self {
        let left = builder.buffer(format!("{name}.u"), &[1, last], Init::Normal);
        Self { weight, left, shape: [rest, last], transposed }
    }

    /// What each of so many uses in a row reads, in the shape of the stored weight, and in training mode the σ that it was
    /// divided by. In evaluation mode all read what is stored. With `note`, what the last one stores is noted.
    pub fn uses(&self, params: &Params, count: usize, note: bool) -> Vec<(Tensor<2>, Option<Tensor<2>>)> {
        let stored = params.get(self.weight);
        if !params.is_training() {
            return vec![(stored, None); count];
        }
        let dims = stored.dims();
        let constant = stored.clone().detach();
        let zero = stored - constant.clone();
        let mut matrix = match self.transposed {
            true => constant.transpose(),
            false => constant.reshape(self.shape),
        };
        let mut u = params.get(self.left).reshape([1, self.shape[1]]);
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            let v = scaled(u.matmul(matrix.clone().transpose()));
            let image = v.matmul(matrix.clone());
            u = scaled(image.clone());
            let sigma = (image * u.clone()).sum_dim(1);
            matrix = matrix / sigma.clone();
            let value = match self.transposed {
                true => matrix.clone().transpose(),
                false => matrix.clone().reshape(dims),
            };
            // The number is the rescaled one, the derivative that of the stored one.
            all.push((value + zero.clone(), Some(sigma)));
        }
        if let (true, Some((last, _))) = (note, all.last()) {
            params.note_rewrite(self.weight, last.clone());
            params.note_update(self.left, BufferUpdate::Set(u));
        }
        all
    }
}

/// A row divided by its length, as tensorflow does it.
fn scaled(row: Tensor<2>) -> Tensor<2> {
    let square = (row.clone() * row.clone()).sum_dim(1).clamp_min(1e-12);
    row / square.sqrt()
}

/// A row divided by its length.
fn unit(row: Tensor<2>) -> Tensor<2> {
    let length = (row.clone() * row.clone()).sum_dim(1).sqrt();
    row / length.add_scalar(TINY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu;
    use crate::ops::matrix;

    fn host(t: Tensor<2>) -> Vec<f32> {
        t.to_data().try_into_vec().unwrap()
    }

    /// W = diag(3, 1) with one more input, u = (0.6, 0.8).
    fn layer() -> (SpectralLinear, Params) {
        let mut builder = ParamBuilder::default();
        let linear = SpectralLinear::new(&mut builder, "l", [3, 2]);
        let specs = builder.finish();
        let values = [vec![3.0, 0.0, 0.0, 0.0, 1.0, 0.0], vec![0.5, -0.5], vec![0.6, 0.8]];
        (linear, Params::from_host(&specs, &values, &cpu()))
    }

    #[test]
    fn one_round_has_its_closed_value_and_many_find_the_singular_value() {
        let (linear, mut params) = layer();
        // v = (1.8, 0.8, 0) / √3.88; W v ∝ (5.4, 0.8); σ = √(29.8 / 3.88).
        let sigma = (29.8_f32 / 3.88).sqrt();
        let y = host(linear.forward(&params, matrix(vec![1.0, 2.0, 3.0], 3, &cpu()), Activation::Identity));
        assert!(
            (y[0] - (3.0 / sigma + 0.5)).abs() < 1e-5 && (y[1] - (2.0 / sigma - 0.5)).abs() < 1e-5,
            "{y:?}"
        );
        let training = params.clone().in_training();
        let first = host(linear.weight(&training));
        assert_eq!(host(linear.weight(&training)), first, "the second use begins with the same u");
        params.apply_updates(training.take_updates());
        let u = &params.to_host()[2];
        assert!((u[0] - 5.4 / 29.8_f32.sqrt()).abs() < 1e-6 && (u[1] - 0.8 / 29.8_f32.sqrt()).abs() < 1e-6);
        for _ in 0..20 {
            let training = params.clone().in_training();
            linear.weight(&training);
            params.apply_updates(training.take_updates());
        }
        let weight = host(linear.weight(&params));
        assert!((weight[0] - 1.0).abs() < 1e-6 && (weight[4] - 1.0 / 3.0).abs() < 1e-6, "{weight:?}");
    }

    #[test]
    fn uses_in_a_row_rescale_the_weight() {
        let weight = vec![3.0, 0.0, 0.0, 1.0, 0.0, 0.0];
        for transposed in [false, true] {
            let mut builder = ParamBuilder::default();
            let id = builder.add("w", if transposed { &[2, 3] } else { &[3, 2] }, Init::Zeros);
            let spectral = RescaledWeight::new(&mut builder, "l", id, [3, 2], transposed);
            let specs = builder.finish();
            let stored = match transposed {
                true => vec![3.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                false => weight.clone(),
            };
            let mut params = Params::from_host(&specs, &[stored.clone(), vec![0.6, 0.8]], &cpu());
            assert_eq!(
                host(spectral.uses(&params, 2, true).remove(1).0),
                stored,
                "evaluation reads what is stored"
            );
            // v ∝ (1.8, 0.8, 0); v W ∝ (5.4, 0.8); σ = √(29.8 / 3.88).
            let training = params.tracked().in_training();
            let uses = spectral.uses(&training, 2, true);
            let sigmas: Vec<f32> = uses.iter().map(|(_, s)| host(s.clone().unwrap())[0]).collect();
            assert!((sigmas[0] - (29.8_f32 / 3.88).sqrt()).abs() < 1e-5, "{sigmas:?}");
            assert!(sigmas[1] > 1.0 && sigmas[1] < 1.1, "{sigmas:?}");
            let total = uses[0].0.clone().sum() + uses[1].0.clone().mul_scalar(2.0).sum();
            assert_eq!(host(training.gradients(&total).remove(0)), [3.0; 6], "nothing flows through σ");
            let mut updates = training.take_updates();
            params.apply_rewrites(&mut updates);
            assert_eq!(updates.len(), 1, "that of u is left");
            params.apply_updates(updates);
            let largest = params.to_host()[0].iter().fold(0f32, |m, x| m.max(*x));
            assert!((largest - 3.0 / (sigmas[0] * sigmas[1])).abs() < 1e-5);
            for _ in 0..20 {
                let training = params.clone().in_training();
                spectral.uses(&training, 1, true);
                let mut updates = training.take_updates();
                params.apply_rewrites(&mut updates);
                params.apply_updates(updates);
            }
            let largest = params.to_host()[0].iter().fold(0f32, |m, x| m.max(*x));
            assert!((largest - 1.0).abs() < 1e-5, "{largest}");
        }
    }

    /// With u and v constant, ∂/∂W of Σ G ∘ W/σ is G/σ - (Σ G ∘ W) u vᵀ/σ² (Miyato et al. 2018, Equation 10).
    #[test]
    fn the_gradient_is_that_of_constant_vectors() {
        let (linear, params) = layer();
        let tracked = params.tracked().in_training();
        let g = [1.0, -2.0, 0.5, 0.3, 2.0, -1.0];
        let loss = (linear.weight(&tracked) * Tensor::from_inner(matrix(g.to_vec(), 3, &cpu()))).sum();
        let grads = tracked.gradients(&loss);
        let (v, u) = ([1.8, 0.8, 0.0].map(|x| x / 3.88_f32.sqrt()), [5.4, 0.8].map(|x| x / 29.8_f32.sqrt()));
        let sigma = (29.8_f32 / 3.88).sqrt();
        let inner = 3.0 * g[0] + g[4];
        for (i, found) in host(grads[0].clone()).into_iter().enumerate() {
            let expected = g[i] / sigma - inner * u[i / 3] * v[i % 3] / (sigma * sigma);
            assert!((found - expected).abs() < 1e-5, "{i}: {found} {expected}");
        }
    }
}
