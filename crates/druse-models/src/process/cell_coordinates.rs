//! Cell parameters as numbers without bounds (Sultanov et al. 2023, section 4; directions as in the published code), so that
//! noise may be added to them.
//!
//! Lengths a = k ln(1 + exp(u/k)) with k = 10 Å, so that u is nearly the length where that is large; angles by their
//! cotangents, the third one as a part of the range that the two others leave.

use std::f64::consts::{FRAC_PI_2, PI};

use druse_crystal::{Lattice, LatticeError, LatticeSystem};

/// The length (Å) at which lengths pass from an exponential to a line.
const K: f64 = 10.0;
/// From so many times [`K`] on both directions are the identity to all digits.
const LINEAR: f64 = 10.0;

/// Six numbers for a, b, c, α, β, γ.
pub type CellCoordinates = [f64; 6];

/// The length in Å of a coordinate: φ(u) = k ln(1 + exp(u/k)).
pub fn length(u: f64) -> f64 {
    if u >= LINEAR * K { u } else { K * (u / K).exp().ln_1p() }
}

/// The coordinate of a length in Å: φ⁻¹(a) = k ln(exp(a/k) - 1).
pub fn length_coordinate(a: f64) -> f64 {
    if a >= LINEAR * K { a } else { K * (a / K).exp_m1().ln() }
}

/// arccot in (0, π).
fn angle(u: f64) -> f64 {
    FRAC_PI_2 - u.atan()
}

fn cotangent(angle: f64) -> f64 {
    (FRAC_PI_2 - angle).tan()
}

/// The range that two angles leave for the third one, in radians.
fn third_angle(alpha: f64, beta: f64) -> [f64; 2] {
    [(alpha - beta).abs(), (alpha + beta).min(2.0 * PI - alpha - beta)]
}

/// Coordinates of a, b, c (Å), α, β, γ (degrees).
pub fn coordinates([a, b, c, alpha, beta, gamma]: [f64; 6]) -> CellCoordinates {
    let [alpha, beta, gamma] = [alpha, beta, gamma].map(f64::to_radians);
    let [least, most] = third_angle(alpha, beta);
    let [a, b, c] = [a, b, c].map(length_coordinate);
    [a, b, c, cotangent(alpha), cotangent(beta), cotangent(PI * (gamma - least) / (most - least))]
}

/// a, b, c (Å), α, β, γ (degrees) of coordinates.
pub fn parameters([a, b, c, alpha, beta, gamma]: CellCoordinates) -> [f64; 6] {
    let [a, b, c] = [a, b, c].map(length);
    let [alpha, beta] = [alpha, beta].map(angle);
    let [least, most] = third_angle(alpha, beta);
    let gamma = least + (most - least) * angle(gamma) / PI;
    let [alpha, beta, gamma] = [alpha, beta, gamma].map(f64::to_degrees);
    [a, b, c, alpha, beta, gamma]
}

/// The coordinates of the free parameters of a cell, in the order of [`LatticeSystem::free_parameters`].
pub fn free_coordinates(system: LatticeSystem, cell: &Lattice) -> Vec<f64> {
    let all = coordinates(cell.parameters());
    system.free_parameters().iter().map(|&i| all[i]).collect()
}

/// The cell of a lattice system with these free coordinates: a along x, b in the xy plane; right-handed.
///
/// # Errors
/// [`LatticeError`] where lengths vanish or angles enclose no volume.
///
/// # Panics
/// When their number is not that of the free parameters.
pub fn cell(system: LatticeSystem, free: &[f64]) -> Result<Lattice, LatticeError> {
    let indices = system.free_parameters();
    assert_eq!(free.len(), indices.len(), "coordinates of a {system} cell");
    let mut all = [0.0; 6];
    indices.iter().zip(free).for_each(|(&i, &u)| all[i] = u);
    let all = parameters(all);
    system.lattice(&indices.iter().map(|&i| all[i]).collect::<Vec<_>>())
}

/// The same cell with the other hand where that is asked for: c on the other side of the plane of a and b.
pub fn with_hand(cell: Lattice, right_handed: bool) -> Result<Lattice, LatticeError> {
    if cell.is_right_handed() == right_handed {
        return Ok(cell);
    }
    let [a, b, [x, y, z]] = cell.rows();
    Lattice::from_rows([a, b, [x, y, -z]])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_have_known_values() {
        let known = [
            (3.0, -10.502256),
            (4.0, -7.096329),
            (5.0, -4.327521),
            (6.0, -1.958704),
            (8.0, 2.033823),
            (10.0, 5.413249),
            (12.0, 8.416176),
            (20.0, 18.545865),
        ];
        for (a, u) in known {
            assert!((length_coordinate(a) - u).abs() < 1e-6 && (length(u) - a).abs() < 1e-6, "{a}");
        }
        assert!((length(0.0) - 6.931472).abs() < 1e-6);
        assert_eq!((length(150.0), length_coordinate(150.0)), (150.0, 150.0));
    }

    #[test]
    fn fixed_angles_have_their_coordinates() {
        let u = coordinates([5.0, 5.0, 8.0, 90.0, 90.0, 120.0]);
        assert!(
            u[3].abs() < 1e-12 && u[4].abs() < 1e-12 && (u[5] + 1.0 / 3f64.sqrt()).abs() < 1e-12,
            "{u:?}"
        );
        let [.., alpha, beta, gamma] = parameters([0.0; 6]);
        assert!([alpha, beta, gamma].iter().all(|x| (x - 90.0).abs() < 1e-12));
    }

    proptest! {
        #[test]
        fn cells_come_back(
            lengths in prop::array::uniform3(0.5..40.0f64),
            angles in prop::array::uniform3(25.0..150.0f64),
            right_handed: bool,
        ) {
            let [alpha, beta, x] = angles;
            // γ anywhere in the range that α and β leave.
            let [least, most] = third_angle(alpha.to_radians(), beta.to_radians());
            prop_assume!(most - least > 0.05);
            let gamma = (least + (most - least) * (0.03 + 0.94 * (x - 25.0) / 125.0)).to_degrees();
            let [a, b, c] = lengths;
            let given = Lattice::from_parameters_a_along_x([a, b, c, alpha, beta, gamma]).unwrap();
            for system in LatticeSystem::ALL {
                let Ok(lattice) = system.constrain(&given) else { continue };
                let free = free_coordinates(system, &lattice);
                let back = cell(system, &free).unwrap();
                prop_assert!((back.matrix() - lattice.matrix()).amax() < 1e-8 * lattice.matrix().amax().max(1.0), "{system}");
                let turned = with_hand(back, right_handed).unwrap();
                prop_assert!(turned.is_right_handed() == right_handed);
                prop_assert!((turned.volume() - back.volume()).abs() < 1e-9 * back.volume());
                prop_assert!(turned.parameters().iter().zip(back.parameters()).all(|(x, y)| (x - y).abs() < 1e-7));
            }
        }

        #[test]
        fn any_coordinates_are_lengths_and_angles(u in prop::array::uniform6(-30.0..30.0f64)) {
            let p = parameters(u);
            prop_assert!(p[..3].iter().all(|a| *a > 0.0), "{p:?}");
            let [alpha, beta, gamma] = [p[3], p[4], p[5]];
            prop_assert!(gamma > (alpha - beta).abs() - 1e-9 && gamma < (alpha + beta).min(360.0 - alpha - beta) + 1e-9);
        }
    }
}
