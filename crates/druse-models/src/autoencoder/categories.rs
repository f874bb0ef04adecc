//! Categories: elements and their numbers.

use druse_crystal::Element;

use crate::ModelError;
use crate::process::Noise;

/// Whole numbers of atoms for shares of elements that add up to `atoms`: shares rounded to even, the rest drawn from
/// what rounding lost, all in random order (CDVAE's rule).
pub(crate) fn draw_composition(shares: &[f64], atoms: usize, noise: &mut Noise) -> Vec<usize> {
    let counts: Vec<f64> = shares.iter().map(|p| (p * atoms as f64).round_ties_even()).collect();
    let mut drawn: Vec<usize> =
        counts.iter().enumerate().flat_map(|(i, &n)| std::iter::repeat_n(i, n as usize)).collect();
    if drawn.len() < atoms {
        let lost: Vec<f64> =
            shares.iter().zip(&counts).map(|(p, n)| (p - n / atoms as f64).max(0.0)).collect();
        let total: f64 = lost.iter().sum();
        while drawn.len() < atoms {
            let mut rest = noise.uniform() * total;
            let index = lost.iter().position(|w| {
                rest -= w;
                rest < 0.0
            });
            // Rounding errors may leave the end of the list; the element that lost most is then as good.
            let largest = || (0..lost.len()).max_by(|&a, &b| lost[a].total_cmp(&lost[b])).unwrap_or(0);
            drawn.push(index.unwrap_or_else(largest));
        }
    }
    for i in (1..drawn.len()).rev() {
        drawn.swap(i, noise.below(i + 1));
    }
    drawn.truncate(atoms);
    drawn
}

/// Number of the largest value, the first of equal ones.
pub(crate) fn largest(values: &[f32]) -> usize {
    (0..values.len()).rev().max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap_or(0)
}

/// The element of a class: index Z - 1.
///
/// # Errors
/// [`ModelError::Output`] beyond the elements.
pub(crate) fn element(index: usize) -> Result<Element, ModelError> {
    Element::from_z(index as i64 + 1).map_err(|e| ModelError::Output(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compositions_keep_whole_numbers_and_draw_the_rest() {
        let mut noise = Noise::new(1, 0);
        let mut all = draw_composition(&[0.2, 0.2, 0.6], 5, &mut noise);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 2, 2]);
        // 2.5 rounds to the even 2, so one of six is drawn from the two that lost.
        let mut seen = [0; 3];
        for i in 0..600 {
            let drawn = draw_composition(&[0.5, 0.5, 0.0], 5, &mut Noise::new(7, i));
            let first = drawn.iter().filter(|&&e| e == 0).count();
            assert!(drawn.len() == 5 && (first == 2 || first == 3), "{drawn:?}");
            seen[first - 2] += 1;
        }
        assert!((seen[0] as f64 - 300.0).abs() < 75.0, "{seen:?}");
        // Rounding up may give too many; they are cut after shuffling.
        assert_eq!(draw_composition(&[0.36, 0.32, 0.32], 5, &mut noise).len(), 5);
    }

    #[test]
    fn the_first_of_equal_values_is_the_largest() {
        assert_eq!(largest(&[0.0, 2.0, 2.0, 1.0]), 1);
    }
}
