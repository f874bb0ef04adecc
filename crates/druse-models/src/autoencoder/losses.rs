//! Parts of objectives, summed over rows.

use burn::tensor::{Tensor, activation};

/// `-Σ weights log softmax(logits)`, row by row; both are (rows, classes).
pub(crate) fn cross_entropy(logits: Tensor<2>, weights: Tensor<2>) -> Tensor<1> {
    (activation::log_softmax(logits, 1) * weights).sum().neg()
}

/// `Σ (a - b)²`.
pub(crate) fn squared_error(a: Tensor<2>, b: Tensor<2>) -> Tensor<1> {
    let difference = a - b;
    (difference.clone() * difference).sum()
}

/// `-Σ [y log σ(x) + (1 - y) log(1 - σ(x))]` over all entries.
pub(crate) fn binary_cross_entropy(logits: Tensor<2>, truth: Tensor<2>) -> Tensor<1> {
    let rest = (logits.clone().abs().neg().exp() + 1.0).log();
    (activation::relu(logits.clone()) - logits * truth + rest).sum()
}

#[cfg(test)]
mod tests {
    use druse_nn::{device, ops::matrix};

    use super::*;

    #[test]
    fn binary_cross_entropies_have_their_closed_form() {
        let (logits, truth) = ([-40.0f32, -1.5, 0.0, 0.7, 60.0], [1.0f32, 0.0, 1.0, 0.0, 1.0]);
        let of = |values: [f32; 5]| matrix(values.to_vec(), 5, &device::cpu());
        let found: f32 = binary_cross_entropy(of(logits), of(truth)).into_scalar();
        let expected: f64 = logits
            .iter()
            .zip(truth)
            .map(|(&x, y)| {
                let x = if y > 0.5 { -f64::from(x) } else { f64::from(x) };
                x.exp().ln_1p()
            })
            .sum();
        assert!((f64::from(found) - expected).abs() < 1e-5 * expected, "{found} {expected}");
    }
}
