//! The roofline of this machine: its rates of arithmetic and of memory, the yardstick for the speed of training and
//! sampling.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::ops;
use crate::precision::{Precision, with_precision};

/// Rates of the processor, all threads of the current pool together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MachineLimits {
    /// Floating-point operations (a multiplication and an addition count as two) per second in matrix products
    /// of the shape that edge layers have: (1536, 128) · (128, 128), one product on each thread.
    pub product_rate: f64,
    /// Bytes per second read and written by `y ← a x + y` over arrays larger than the caches.
    pub bandwidth: f64,
}

impl MachineLimits {
    /// Measures for about `budget` each, products in the given precision.
    pub fn measure(budget: Duration, precision: Precision) -> Self {
        Self { product_rate: product_rate(budget, precision), bandwidth: bandwidth(budget) }
    }

    /// The better of two measurements in each rate.
    pub fn max(self, other: Self) -> Self {
        let (product_rate, bandwidth) =
            (self.product_rate.max(other.product_rate), self.bandwidth.max(other.bandwidth));
        Self { product_rate, bandwidth }
    }
}

/// Runs `work` and counts the floating-point operations of the matrix products inside the hand-written CPU operations
/// (two for each multiplication with addition), on all threads. Meant for one benchmark at a time.
pub fn count_products<T>(work: impl FnOnce() -> T) -> (T, u64) {
    ops::count_products(work)
}

/// Runs `work` on every thread again and again for `budget`; returns runs per second of all threads together.
fn rate<S: Send>(budget: Duration, state: impl Fn() -> S + Sync, work: impl Fn(&mut S) + Sync) -> f64 {
    let one = |_| {
        let mut state = state();
        work(&mut state);
        let begun = Instant::now();
        let mut runs = 0u32;
        while runs == 0 || begun.elapsed() < budget {
            work(&mut state);
            runs += 1;
        }
        f64::from(runs) / begun.elapsed().as_secs_f64()
    };
    (0..rayon::current_num_threads()).into_par_iter().with_max_len(1).map(one).sum()
}

fn product_rate(budget: Duration, precision: Precision) -> f64 {
    const SHAPE: [usize; 3] = [1536, 128, 128];
    let [m, n, k] = SHAPE;
    let state = || (vec![0f32; m * n], vec![0.5f32; m * k], vec![0.25f32; n * k]);
    let runs = rate(budget, state, |(out, a, b)| {
        with_precision(precision, || ops::matrix_product(out, SHAPE, a, b));
        black_box(out);
    });
    runs * 2.0 * (m * n * k) as f64
}

fn bandwidth(budget: Duration) -> f64 {
    const LEN: usize = 1 << 24;
    let state = || (vec![1f32; LEN], vec![0f32; LEN]);
    let runs = rate(budget, state, |(x, y)| {
        for (y, &x) in y.iter_mut().zip(x.iter()) {
            *y += 0.5 * x;
        }
        black_box(y);
    });
    runs * (3 * LEN * size_of::<f32>()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_counted() {
        let mut out = [0.0; 4];
        let ((), flops) = count_products(|| ops::matrix_product(&mut out, [2, 2, 3], &[1.0; 6], &[1.0; 6]));
        // Tests that run beside this one may add theirs.
        assert!(flops >= 24);
    }

    #[test]
    fn limits_are_positive() {
        let limits = MachineLimits::measure(Duration::ZERO, Precision::F32);
        assert!(limits.product_rate > 0.0 && limits.bandwidth > 0.0);
    }
}
