//! Positions on the torus of fractional coordinates.

use druse_crystal::{Lattice, wrap_unit};

use super::Noise;

/// `(x + σ ε - mean over atoms) mod 1`: wrapped Gaussian noise in fractional units without its center of mass
/// (Klipfel et al. 2024, Equation 16; the published code removes the mean).
pub fn corrupt(frac: &[[f64; 3]], sigma: f64, noise: &mut Noise) -> Vec<[f64; 3]> {
    let mut eps: Vec<[f64; 3]> =
        frac.iter().map(|_| std::array::from_fn(|_| sigma * noise.normal())).collect();
    for axis in 0..3 {
        let mean = eps.iter().map(|e| e[axis]).sum::<f64>() / eps.len() as f64;
        eps.iter_mut().for_each(|e| e[axis] -= mean);
    }
    frac.iter().zip(eps).map(|(f, e)| std::array::from_fn(|i| wrap_unit(f[i] + e[i]))).collect()
}

/// The shortest path from each noisy position to an image of its clean position, Cartesian in Å: the target of the
/// training (GemsDiff Eq. 20).
pub fn shortest_paths(noisy: &[[f64; 3]], clean: &[[f64; 3]], lattice: &Lattice) -> Vec<[f64; 3]> {
    noisy.iter().zip(clean).map(|(&x, &y)| lattice.min_image(x, y).0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_keeps_the_center_and_is_undone_by_the_path() {
        let frac = vec![[0.1, 0.9, 0.5], [0.7, 0.05, 0.99], [0.4, 0.4, 0.4]];
        let cubic = Lattice::cubic(1.0).unwrap();
        let noisy = corrupt(&frac, 0.02, &mut Noise::new(3, 7));
        let paths = shortest_paths(&noisy, &frac, &cubic);
        for axis in 0..3 {
            assert!(paths.iter().map(|p| p[axis]).sum::<f64>().abs() < 1e-12);
        }
        for ((x, p), y) in noisy.iter().zip(&paths).zip(&frac) {
            for i in 0..3 {
                assert!((wrap_unit(x[i] + p[i]) - y[i]).abs() < 1e-12);
            }
        }
        assert_eq!(noisy, corrupt(&frac, 0.02, &mut Noise::new(3, 7)));
        assert_ne!(noisy, corrupt(&frac, 0.02, &mut Noise::new(3, 8)));
    }
}
