//! Envelopes and Gaussians.

/// `1 - 21 u⁵ + 35 u⁶ - 15 u⁷` for u < 1, else 0: smooth at the cut-off (GemNet, exponent 5).
pub fn envelope_gemnet(u: f64) -> f64 {
    if u < 1.0 { 1.0 + u.powi(5) * (-21.0 + u * (35.0 - 15.0 * u)) } else { 0.0 }
}

/// Derivative of [`envelope_gemnet`] with respect to u.
pub(crate) fn envelope_gemnet_slope(u: f64) -> f64 {
    if u < 1.0 { -105.0 * (u * u * (1.0 - u)).powi(2) } else { 0.0 }
}

/// `1/u - 28 u⁵ + 48 u⁶ - 21 u⁷`, not clipped beyond u = 1 (DimeNet, exponent 6): edges longer than the cut-off get
/// small, then quickly growing negative values, as in the published codes.
pub fn envelope_dimenet(u: f64) -> f64 {
    1.0 / u + u.powi(5) * (-28.0 + u * (48.0 - 21.0 * u))
}

/// Gaussians with centers spread evenly over [0, cut-off] and the spacing as width, times [`envelope_gemnet`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GaussianBasis {
    /// Number of functions.
    pub count: usize,
    /// Length that scales distances.
    pub cutoff: f64,
}

impl GaussianBasis {
    /// Functions further from a distance than so many spacings are zero: they are below 2e-22, which changes no sum with
    /// the nearest ones in 32 bits. Smaller numbers do not stay normal in products, which processors compute many
    /// times slower then.
    pub(crate) const REACH: usize = 10;

    /// Values at the given distances, row by row: (distances, count).
    pub fn evaluate(&self, distances: &[f64]) -> Vec<f32> {
        let mut out = vec![0f32; distances.len() * self.count];
        let last = self.count - 1;
        for (row, &d) in out.chunks_exact_mut(self.count).zip(distances) {
            let u = d / self.cutoff;
            let envelope = envelope_gemnet(u);
            if envelope == 0.0 {
                continue;
            }
            // From the nearest center outwards: the quotient of neighboring Gaussians is a geometric sequence.
            let x = u * last as f64;
            let nearest = (x.round() as usize).min(last);
            let rest = x - nearest as f64;
            let peak = (-0.5 * rest * rest).exp() * envelope;
            row[nearest] = peak as f32;
            let outwards = |mut quotient: f64, k: &mut dyn Iterator<Item = &mut f32>| {
                let mut value = peak;
                for y in k {
                    value *= quotient;
                    quotient *= (-1f64).exp();
                    *y = value as f32;
                }
            };
            let (below, above) = row.split_at_mut(nearest);
            outwards((-rest - 0.5).exp(), &mut below.iter_mut().rev().take(Self::REACH));
            outwards((rest - 0.5).exp(), &mut above.iter_mut().skip(1).take(Self::REACH));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_have_known_values() {
        for (u, y) in [(0.1, 0.9998235), (0.5, 0.7734375), (0.9, 0.0256915), (1.0, 0.0), (1.3, 0.0)] {
            assert!((envelope_gemnet(u) - y).abs() < 1e-7, "{u}");
        }
        for (u, y) in
            [(0.1, 9.9997659), (0.5, 1.7109375), (0.9, 0.0423242), (1.1, -0.0733202), (1.2, -0.7591915)]
        {
            assert!((envelope_dimenet(u) - y).abs() < 1e-7, "{u}");
        }
    }

    #[test]
    fn gaussians_peak_at_their_centers() {
        let basis = GaussianBasis { count: 11, cutoff: 5.0 };
        let values = basis.evaluate(&[2.0, 6.0]);
        assert!((f64::from(values[4]) - envelope_gemnet(0.4)).abs() < 1e-6);
        assert!((f64::from(values[5]) - envelope_gemnet(0.4) * (-0.5f64).exp()).abs() < 1e-6);
        assert!(values[11..].iter().all(|&v| v == 0.0));
    }

    #[test]
    fn gaussians_agree_with_the_definition() {
        let basis = GaussianBasis { count: 128, cutoff: 10.0 };
        let distances: Vec<f64> = (0..1000).map(|i| 0.0101 * f64::from(i)).collect();
        for (row, &d) in basis.evaluate(&distances).chunks_exact(128).zip(&distances) {
            for (k, &value) in row.iter().enumerate() {
                let x = d / 10.0 * 127.0 - k as f64;
                let exact = (-0.5 * x * x).exp() * envelope_gemnet(d / 10.0);
                assert!(value == 0.0 || value > 1e-35, "{d} {k}: {value} is next to no number");
                assert!((f64::from(value) - exact).abs() <= 1e-7 * exact + 2e-22, "{d} {k}: {value} {exact}");
            }
        }
    }
}
