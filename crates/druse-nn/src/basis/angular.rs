//! Angular functions.

use std::f64::consts::PI;

/// `sqrt((2l+1)/4π) P_l(x)` for l = 0, 1, …, written to `out`.
pub(crate) fn zonal_harmonics(x: f64, out: &mut [f64]) {
    let (mut previous, mut current) = (0.0, 1.0);
    for (l, y) in (0u32..).zip(out.iter_mut()) {
        *y = (f64::from(2 * l + 1) / (4.0 * PI)).sqrt() * current;
        let l = f64::from(l);
        (previous, current) = (current, ((2.0 * l + 1.0) * x * current - l * previous) / (l + 1.0));
    }
}

/// Derivatives of [`zonal_harmonics`] with respect to x, |x| <= 1.
pub(crate) fn zonal_harmonics_slopes(x: f64, out: &mut [f64]) {
    // P'_{l+1} = P'_{l-1} + (2l + 1) P_l: without the division by 1 - x² of the closed form.
    let (mut previous, mut current) = (0.0, 1.0);
    let (mut previous_slope, mut slope) = (0.0, 0.0);
    for (l, y) in (0u32..).zip(out.iter_mut()) {
        *y = (f64::from(2 * l + 1) / (4.0 * PI)).sqrt() * slope;
        let l = f64::from(l);
        (previous_slope, slope) = (slope, previous_slope + (2.0 * l + 1.0) * current);
        (previous, current) = (current, ((2.0 * l + 1.0) * x * current - l * previous) / (l + 1.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_of_harmonics_agree_with_differences() {
        let [mut above, mut below, mut slopes] = [[0.0; 7]; 3];
        for x in [-1.0, -0.4, 0.0, 0.7, 1.0] {
            let h = 1e-6;
            zonal_harmonics(x + h, &mut above);
            zonal_harmonics(x - h, &mut below);
            zonal_harmonics_slopes(x, &mut slopes);
            for l in 0..7 {
                assert!(((above[l] - below[l]) / (2.0 * h) - slopes[l]).abs() < 1e-7, "{x} {l}");
            }
        }
    }

    #[test]
    fn harmonics_have_known_values() {
        let mut y = [0.0; 4];
        zonal_harmonics(0.5, &mut y);
        let legendre = [1.0, 0.5, -0.125, -0.4375];
        for (l, p) in legendre.into_iter().enumerate() {
            assert!((y[l] - ((2 * l + 1) as f64 / (4.0 * PI)).sqrt() * p).abs() < 1e-15);
        }
    }
}
