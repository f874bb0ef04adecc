//! Updates on the host: one pass over memory each, numbers changed where they lie. A composition of tensor operations
//! reads and writes every intermediate result, which for the sizes of published models costs several times as much.

use burn::backend::Flex;
use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;

use crate::arch::vectorized;

/// Changes matrices of the host's backend in place; `change` sees their numbers and those of `read`, row-major. Numbers
/// that another tensor shares are copied first.
///
/// # Panics
/// When the tensors are not 32-bit floats of the host's backend.
pub(super) fn in_place<const N: usize, const M: usize>(
    changed: [Tensor<2>; N],
    read: [&Tensor<2>; M],
    change: impl FnOnce([&mut [f32]; N], [&[f32]; M]),
) -> [Tensor<2>; N] {
    let mut changed = changed.map(|t| whole(primitive(t)));
    let read = read.map(|t| whole(primitive(t.clone())));
    change(changed.each_mut().map(|t| t.storage_mut()), read.each_ref().map(|t| t.storage()));
    changed.map(Tensor::from_primitive::<Flex>)
}

/// Sum of the squares of all numbers, in double precision and an order of its own.
///
/// # Panics
/// As [`in_place`].
pub(super) fn square_sum(t: &Tensor<2>) -> f64 {
    const LANES: usize = 16;
    let t = whole(primitive(t.clone()));
    let x = t.storage::<f32>();
    vectorized!({
        let (chunks, rest) = x.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for chunk in chunks {
            for (sum, &x) in sums.iter_mut().zip(chunk) {
                *sum += f64::from(x) * f64::from(x);
            }
        }
        sums.into_iter().chain(rest.iter().map(|&x| f64::from(x) * f64::from(x))).sum()
    })
}

/// Factors of one step of Adam.
pub(super) struct AdamStep {
    pub beta1: f32,
    pub beta2: f32,
    /// 1 - β₁.
    pub new1: f32,
    /// 1 - β₂.
    pub new2: f32,
    /// 1 - β₂ᵗ.
    pub correction2: f32,
    pub epsilon: f32,
    /// Learning rate by 1 - β₁ᵗ.
    pub rate: f32,
}

impl AdamStep {
    pub fn apply(&self, [value, m, v]: [&mut [f32]; 3], grad: &[f32]) {
        vectorized!({
            for (((x, m), v), &g) in value.iter_mut().zip(m).zip(v).zip(grad) {
                *m = *m * self.beta1 + g * self.new1;
                *v = *v * self.beta2 + g * g * self.new2;
                *x -= *m * self.rate / ((*v / self.correction2).sqrt() + self.epsilon);
            }
        });
    }
}

/// `y ← keep · y + (1 - keep) · x`.
pub(super) fn average(y: &mut [f32], x: &[f32], keep: f64) {
    let (keep, new) = (keep as f32, (1.0 - keep) as f32);
    vectorized!({
        for (y, &x) in y.iter_mut().zip(x) {
            *y = *y * keep + x * new;
        }
    });
}

/// `x ← f(x)`.
pub(super) fn map(x: &mut [f32], f: impl Fn(f32) -> f32) {
    vectorized!(x.iter_mut().for_each(|x| *x = f(*x)));
}

fn primitive(t: Tensor<2>) -> FlexTensor {
    assert_eq!(t.dtype(), DType::F32, "parameters and gradients are 32-bit floats");
    t.try_into_primitive::<Flex>().expect("the caller has asked whether the host computes")
}

/// The same matrix as the whole of its storage, row-major.
fn whole(t: FlexTensor) -> FlexTensor {
    let all = t.storage::<f32>().len();
    if t.as_slice::<f32>().is_some_and(|x| x.len() == all) { t } else { t.to_contiguous() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::testing::on_every_arch;
    use crate::ops::matrix;

    fn numbers(n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|i| scale * (i as f32 * 0.7 + scale).sin()).collect()
    }

    fn read(t: &Tensor<2>) -> Vec<f32> {
        t.to_data().try_into_vec().unwrap()
    }

    #[test]
    fn shared_numbers_are_copied_and_views_become_whole() {
        let device = crate::device::cpu();
        let t = matrix(numbers(12, 1.0), 4, &device);
        let kept = t.clone();
        let [doubled] = in_place([t], [], |[x], []| map(x, |x| 2.0 * x));
        assert_eq!(read(&kept), numbers(12, 1.0));
        assert_eq!(read(&doubled), numbers(12, 1.0).iter().map(|x| 2.0 * x).collect::<Vec<_>>());
        for view in [kept.clone().transpose(), kept.clone().slice([1..3, 0..4]), kept.narrow(1, 1, 2)] {
            let expected: Vec<f32> = read(&view).iter().map(|x| x + 1.0).collect();
            let [changed] = in_place([view.clone()], [&view], |[x], [y]| {
                x.iter_mut().zip(y).for_each(|(x, y)| *x = y + 1.0);
            });
            assert_eq!((changed.dims(), read(&changed)), (view.dims(), expected));
        }
    }

    #[test]
    fn squares_are_summed_in_double_precision() {
        let x = numbers(1003, 3e3);
        let exact: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
        on_every_arch(|| {
            let sum = square_sum(&matrix(x.clone(), 17, &crate::device::cpu()));
            assert!((sum / exact - 1.0).abs() < 1e-14, "{sum} {exact}");
        });
    }

    /// Every kind of vector instructions gives the same bits: nothing is fused.
    #[test]
    fn steps_do_not_depend_on_the_processor() {
        let factors = AdamStep {
            beta1: 0.9,
            beta2: 0.999,
            new1: 0.1,
            new2: 0.001,
            correction2: 0.02,
            epsilon: 1e-8,
            rate: 0.01,
        };
        let mut results = Vec::new();
        on_every_arch(|| {
            let [mut x, mut m, mut v] = [1.0, 0.1, 0.0].map(|scale| numbers(101, scale));
            v.iter_mut().for_each(|v| *v = v.abs());
            factors.apply([&mut x, &mut m, &mut v], &numbers(101, 0.5));
            average(&mut m, &x, 0.9);
            results.push([x, m, v]);
        });
        assert!(results.iter().all(|r| r == &results[0]));
    }
}
