//! Noise in continuous time.
//!
//! Time runs from 0 (an image) to 1 (noise). At the logarithm l of the signal-to-noise ratio an image x has become
//! `α x + σ ε` with `α² = 1 / (1 + e^-l)`, `σ² = 1 / (1 + e^l)` and standard normal ε (Kingma et al. 2021).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Smallest number of which the cosine schedule takes a logarithm.
const SMALLEST: f64 = 1e-5;
/// Smallest α by which a predicted image is divided.
const SMALLEST_ALPHA: f64 = 1e-8;
/// Smallest variance of noise that is added.
const SMALLEST_VARIANCE: f64 = 1e-20;

/// How the logarithm of the signal-to-noise ratio falls with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// `-ln(cos((t + 0.008) / 1.008 · π/2)^-2 - 1)` (Nichol and Dhariwal 2021): images.
    Cosine,
    /// `-ln(exp(1e-4 + 10 t²) - 1)`: the image of lower resolution.
    Linear,
}

impl Schedule {
    /// Logarithm of the signal-to-noise ratio.
    pub fn log_snr(self, t: f64) -> f64 {
        match self {
            Self::Cosine => {
                let cos = ((t + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos();
                -(cos.powi(-2) - 1.0).max(SMALLEST).ln()
            }
            Self::Linear => -(1e-4 + 10.0 * t * t).exp_m1().ln(),
        }
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `α` and `σ`.
pub fn alpha_sigma(log_snr: f64) -> [f64; 2] {
    [sigmoid(log_snr).sqrt(), sigmoid(-log_snr).sqrt()]
}

/// How the squared error of the noise counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LossWeight {
    /// `(1 + snr)^-1/2` (Choi et al. 2022, equation 8 with k = 1, γ = 1/2): the published code.
    #[default]
    P2,
    /// `min(snr, 5) / snr` (Hang et al. 2023): later versions of its library.
    MinSnr,
}

impl LossWeight {
    /// The weight at a logarithm of the signal-to-noise ratio.
    pub fn at(self, log_snr: f64) -> f64 {
        let snr = log_snr.exp();
        match self {
            Self::P2 => (1.0 + snr).powf(-0.5),
            Self::MinSnr => snr.min(5.0) / snr,
        }
    }
}

/// One step of the reverse process from time t to an earlier one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReverseStep {
    /// Logarithm of the signal-to-noise ratio at t.
    pub log_snr: f64,
    /// `1 - snr(t) / snr(s)` for the earlier time s.
    pub c: f64,
    /// Factor of the noisy image in the mean of the next one.
    pub of_noisy: f64,
    /// Factor of the predicted image.
    pub of_clean: f64,
    /// Variance of the noise that is added.
    pub variance: f64,
    alpha: f64,
    sigma: f64,
    last: bool,
}

impl ReverseStep {
    /// The step `k` of `steps` equal ones from noise to image, k from 0.
    pub fn of(k: usize, steps: usize) -> Self {
        let time = |k: usize| 1.0 - k as f64 / steps as f64;
        Self::between(time(k), time(k + 1), k + 1 == steps)
    }

    /// The step from time `t` to `next`, in which nothing is added if it is the last one.
    pub fn between(t: f64, next: f64, last: bool) -> Self {
        let [log_snr, log_snr_next] = [t, next].map(|t| Schedule::Cosine.log_snr(t));
        let [alpha, sigma] = alpha_sigma(log_snr);
        let [alpha_next, sigma_next] = alpha_sigma(log_snr_next);
        let c = -(log_snr - log_snr_next).exp_m1();
        Self {
            log_snr,
            c,
            of_noisy: alpha_next * (1.0 - c) / alpha,
            of_clean: alpha_next * c,
            variance: sigma_next * sigma_next * c,
            alpha,
            sigma,
            last,
        }
    }

    /// The image that a noisy one and its noise come from, before any limit.
    pub fn clean(&self, x: &[f64], noise: &[f32]) -> Vec<f64> {
        let alpha = self.alpha.max(SMALLEST_ALPHA);
        x.iter().zip(noise).map(|(x, &e)| (x - self.sigma * f64::from(e)) / alpha).collect()
    }

    /// Mean of the next image.
    pub fn mean(&self, x: &[f64], clean: &[f64]) -> Vec<f64> {
        x.iter().zip(clean).map(|(x, clean)| self.of_noisy * x + self.of_clean * clean).collect()
    }

    /// Standard deviation of the noise that is added to the mean: none in the last step.
    pub fn deviation(&self) -> f64 {
        if self.last { 0.0 } else { self.variance.max(SMALLEST_VARIANCE).sqrt() }
    }
}

/// The value below which this part of the numbers lies, linear between neighbors.
fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = part * sorted.len().saturating_sub(1) as f64;
    let (below, rest) = (place.floor() as usize, place.fract());
    match (sorted.get(below), sorted.get(below + 1)) {
        (Some(a), Some(b)) if rest > 0.0 => a + (b - a) * rest,
        (Some(a), _) => *a,
        (None, _) => 0.0,
    }
}

/// Dynamic thresholding (Saharia et al. 2022, section 2.3): with s the given quantile of the magnitudes, or 1 where that is
/// less, numbers beyond ±s are cut and all are divided by s. Returns the quantile.
pub fn threshold(x: &mut [f64], part: f64) -> f64 {
    let magnitudes: Vec<f64> = x.iter().map(|x| x.abs()).collect();
    let quantile = quantile(&magnitudes, part);
    let s = quantile.max(1.0);
    x.iter_mut().for_each(|x| *x = x.clamp(-s, s) / s);
    quantile
}

/// Every second row and column of square images, the nearest neighbors of half as many: numbers of a pixel stay together.
pub fn halved<T: Copy>(x: &[T], edge: usize) -> Vec<T> {
    let channels = x.len() / (edge * edge);
    let pixels = (0..edge).step_by(2).flat_map(|r| (0..edge).step_by(2).map(move |c| r * edge + c));
    pixels.flat_map(|p| x[p * channels..][..channels].iter().copied()).collect()
}

/// Every pixel four times: the nearest neighbors of twice as many rows and columns as `edge`.
pub fn doubled<T: Copy>(x: &[T], edge: usize) -> Vec<T> {
    let channels = x.len() / (edge * edge);
    let pixels = (0..2 * edge).flat_map(|r| (0..2 * edge).map(move |c| r / 2 * edge + c / 2));
    pixels.flat_map(|p| x[p * channels..][..channels].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn schedules_have_known_values() {
        for (t, cosine, linear) in [
            (0.0, 8.7692947882, 9.21029037156),
            (0.2, 2.18139460112, 0.709329637942),
            (0.7, -1.36709309171, -4.89262630292),
            (1.0, -74.6637123865, -10.0000546036),
        ] {
            assert!((Schedule::Cosine.log_snr(t) - cosine).abs() < 1e-9);
            assert!((Schedule::Linear.log_snr(t) - linear).abs() < 1e-9);
        }
        assert!((LossWeight::P2.at(2.18139460112) - 0.318486650252).abs() < 1e-10);
        assert!((LossWeight::MinSnr.at(2.18139460112) - 0.564419963363).abs() < 1e-10);
        let step = ReverseStep::of(500, 1000);
        assert!((step.of_noisy - 0.995352563223).abs() < 1e-10);
        assert!((step.variance - 0.00313620287767).abs() < 1e-12);
        let first = ReverseStep::of(0, 1000);
        assert_eq!((first.of_noisy, first.c), (0.0, 1.0));
        assert_eq!(ReverseStep::of(2, 3).deviation(), 0.0);
    }

    #[test]
    fn quantiles_lie_between_neighbors() {
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&[0.0, 10.0], 0.95), 9.5);
        let mut x = [0.5, -4.0, 2.0];
        assert_eq!(threshold(&mut x, 0.5), 2.0);
        assert_eq!(x, [0.25, -1.0, 1.0]);
        let mut small = [0.5, -0.2];
        threshold(&mut small, 0.95);
        assert_eq!(small, [0.5, -0.2]);
    }

    proptest! {
        /// With the noise known, a step ends where the forward process would be: the mean and the variance of the next image
        /// are those of the image noised to the earlier time.
        #[test]
        fn steps_follow_the_forward_process(k in 1usize..999, image in -1.0f64..1.0, noise in -3.0f64..3.0) {
            let step = ReverseStep::of(k, 1000);
            let x = step.alpha * image + step.sigma * noise;
            let clean = step.clean(&[x], &[noise as f32]);
            prop_assert!((clean[0] - image).abs() < 1e-5 / step.alpha);
            let [alpha, sigma] = alpha_sigma(Schedule::Cosine.log_snr(1.0 - (k + 1) as f64 / 1000.0));
            prop_assert!((step.of_noisy * step.alpha + step.of_clean - alpha).abs() < 1e-9);
            let spread = (step.of_noisy * step.sigma).powi(2) + step.variance;
            prop_assert!((spread - sigma * sigma).abs() < 1e-9);
        }

        #[test]
        fn halving_undoes_doubling(values in proptest::collection::vec(-1.0f64..1.0, 4 * 4 * 3)) {
            prop_assert_eq!(halved(&doubled(&values, 4), 8), values);
        }
    }
}
