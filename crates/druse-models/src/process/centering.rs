//! Coordinates around the middle of the cell, which do not change when all atoms move together.

/// Moves fractional coordinates into [-1/2, 1/2) and, axis by axis, by half the sum of the smallest and the largest.
pub fn center(frac: &mut [[f64; 3]]) {
    for f in frac.iter_mut() {
        *f = f.map(|x| x - (x + 0.5).floor());
    }
    to_middle(frac);
}

/// The fractional coordinates of a crystal, each in [0, 1), as they lie closest together: axis by axis the images that span
/// the least, moved by half the sum of the smallest and the largest.
pub fn gather(frac: &[[f64; 3]]) -> Vec<[f64; 3]> {
    let mut out = frac.to_vec();
    for axis in 0..3 {
        let mut sorted: Vec<f64> = frac.iter().map(|f| f[axis]).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let Some((&first, &last)) = sorted.first().zip(sorted.last()) else { return out };
        // With those below a coordinate moved up by one, the extent is one less the gap before it.
        let mut best = (last - first, first);
        for pair in sorted.windows(2) {
            let extent = pair[0] + 1.0 - pair[1];
            if extent < best.0 {
                best = (extent, pair[1]);
            }
        }
        for f in &mut out {
            f[axis] += if f[axis] < best.1 { 1.0 } else { 0.0 };
        }
    }
    to_middle(&mut out);
    out
}

fn to_middle(frac: &mut [[f64; 3]]) {
    for axis in 0..3 {
        let (low, high) = frac
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), f| (low.min(f[axis]), high.max(f[axis])));
        frac.iter_mut().for_each(|f| f[axis] -= 0.5 * (low + high));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atoms_across_the_face_of_the_cell_come_together() {
        let frac = [[0.95, 0.2, 0.0], [0.05, 0.4, 0.5], [0.15, 0.3, 0.25]];
        let gathered = gather(&frac);
        let expected = [[-0.1, -0.1, -0.25], [0.0, 0.1, 0.25], [0.1, 0.0, 0.0]];
        for (a, b) in gathered.iter().flatten().zip(expected.iter().flatten()) {
            assert!((a - b).abs() < 1e-12, "{gathered:?}");
        }
        assert!(gather(&[]).is_empty());
        assert_eq!(gather(&[[0.3; 3]]), [[0.0; 3]]);
    }

    #[test]
    fn gathered_atoms_do_not_depend_on_the_origin() {
        let frac = [[0.95, 0.2, 0.01], [0.05, 0.4, 0.52], [0.15, 0.3, 0.27], [0.6, 0.93, 0.6]];
        let moved = frac.map(|f| f.map(|x: f64| (x + 0.37).rem_euclid(1.0)));
        for (a, b) in gather(&frac).iter().flatten().zip(gather(&moved).iter().flatten()) {
            assert!((a - b).abs() < 1e-12);
        }
    }

    #[test]
    fn centered_coordinates_are_in_the_middle() {
        let mut frac = vec![[0.6, 0.1, 0.0], [0.9, -0.3, 0.2], [1.2, 2.0, 0.49]];
        center(&mut frac);
        // Wrapped: -0.4, -0.1, 0.2; 0.1, -0.3, 0.0; 0.0, 0.2, 0.49.
        let expected = [[-0.3, 0.2, -0.245], [0.0, -0.2, -0.045], [0.3, 0.1, 0.245]];
        for (a, b) in frac.iter().flatten().zip(expected.iter().flatten()) {
            assert!((a - b).abs() < 1e-12, "{frac:?}");
        }
        center(&mut []);
    }
}
