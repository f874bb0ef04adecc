//! Whether the atoms of a crystal keep their distance.

use druse_crystal::{Lattice, Structure, reduction::lll_reduced};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Shortest allowed distance in Å.
pub const MIN_DISTANCE: f64 = 0.5;
/// Smallest allowed cell volume in Å³.
pub const MIN_VOLUME: f64 = 0.1;

/// What counts as a valid structure.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum StructureRule {
    /// CDVAE and diffusion-atoms: no two different sites closer than 0.5 Å, volume of the cell at least 0.1 Å³. The
    /// distance of an atom to its own images is not looked at.
    #[default]
    Cdvae,
    /// SyMat: as CDVAE, but of the images only those in the 27 cells around are looked at, which misses short
    /// distances in skewed cells.
    Symat,
    /// GemsDiff (paper): no two atoms of the crystal closer than 0.5 Å, an atom and its own image included; no rule on
    /// the volume.
    Gemsdiff,
    /// No two atoms of the crystal closer than 0.5 Å, an atom and its own image included; volume at least 0.1 Å³.
    #[serde(alias = "honest")]
    Strict,
}

impl StructureRule {
    /// Every rule.
    pub const ALL: [Self; 4] = [Self::Cdvae, Self::Symat, Self::Gemsdiff, Self::Strict];
}

impl std::fmt::Display for StructureRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cdvae => "cdvae",
            Self::Symat => "symat",
            Self::Gemsdiff => "gemsdiff",
            Self::Strict => "strict",
        })
    }
}

/// Why a structure is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum StructureFault {
    /// Two different sites are too close.
    #[error("two sites are {0:.3} Å apart")]
    Distance(f64),
    /// An atom is too close to its own image.
    #[error("an atom is {0:.3} Å from its own image")]
    OwnImage(f64),
    /// The cell is too small.
    #[error("the cell has a volume of {0:.2e} Å³")]
    Volume(f64),
    /// A coordinate or the cell is not a finite number.
    #[error("a coordinate is not a finite number")]
    NotFinite,
}

/// The numbers that structure validity rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StructureValidity {
    /// Volume of the cell (Å³).
    pub volume: f64,
    /// Shortest distance between different sites over all periodic images (Å); `None` with a single site.
    pub min_distance: Option<f64>,
    /// The same over the 27 cells around the given one only.
    pub min_distance_27_cells: Option<f64>,
    /// Shortest distance between an atom and its own image: the shortest lattice vector (Å).
    pub min_own_image: f64,
    /// Whether all coordinates are finite.
    pub finite: bool,
}

impl StructureValidity {
    /// Whether the structure passes a rule.
    pub fn is_valid(&self, rule: StructureRule) -> bool {
        self.fault(rule).is_none()
    }

    /// The first thing wrong with the structure under a rule.
    pub fn fault(&self, rule: StructureRule) -> Option<StructureFault> {
        if !self.finite {
            return Some(StructureFault::NotFinite);
        }
        let distance = match rule {
            StructureRule::Symat => self.min_distance_27_cells,
            _ => self.min_distance,
        };
        if let Some(d) = distance.filter(|&d| d < MIN_DISTANCE) {
            return Some(StructureFault::Distance(d));
        }
        let images = matches!(rule, StructureRule::Gemsdiff | StructureRule::Strict);
        if images && self.min_own_image < MIN_DISTANCE {
            return Some(StructureFault::OwnImage(self.min_own_image));
        }
        let small = rule != StructureRule::Gemsdiff && self.volume < MIN_VOLUME;
        small.then_some(StructureFault::Volume(self.volume))
    }

    /// Shortest distance between any two atoms, an atom and its own image included (Å).
    pub fn min_distance_any(&self) -> f64 {
        self.min_distance.unwrap_or(f64::INFINITY).min(self.min_own_image)
    }
}

/// Measures what the validity rules need.
///
/// Distances are exact for any cell: it is reduced first (LLL), after which the nearest image of a wrapped position lies
/// within the 27 cells around.
pub fn structure(s: &Structure) -> StructureValidity {
    let finite = s.frac_coords.iter().flatten().all(|x| x.is_finite());
    let reduced = lll_reduced(&s.lattice).unwrap_or(s.lattice);
    let own = translations(&reduced).into_iter().map(|(_, t2)| t2).fold(f64::INFINITY, f64::min).sqrt();
    let given: Vec<[f64; 3]> = s.frac_coords.clone();
    let basis: Vec<[f64; 3]> = if reduced == s.lattice {
        given.clone()
    } else {
        s.cart_coords().into_iter().map(|x| reduced.to_fractional(x)).collect()
    };
    let (min_distance, min_distance_27_cells) = if finite {
        (closest(&reduced, &basis, true), closest(&s.lattice, &given, false))
    } else {
        (None, None)
    };
    StructureValidity {
        volume: s.lattice.volume(),
        min_distance,
        min_distance_27_cells,
        min_own_image: own,
        finite,
    }
}

/// One of each pair ±t of the 26 shortest-index lattice vectors, with its squared length.
fn translations(lattice: &Lattice) -> [([f64; 3], f64); 13] {
    std::array::from_fn(|k| {
        let k = k + 14;
        let t = lattice.to_cartesian([(k / 9) as f64 - 1.0, (k / 3 % 3) as f64 - 1.0, (k % 3) as f64 - 1.0]);
        (t, dot(t, t))
    })
}

/// Shortest distance between different sites over the 27 cells around; differences are wrapped into [-½, ½] first
/// where `wrap` says so.
fn closest(lattice: &Lattice, frac: &[[f64; 3]], wrap: bool) -> Option<f64> {
    let translations = translations(lattice);
    let mut shortest = None;
    for (i, p) in frac.iter().enumerate() {
        for q in &frac[..i] {
            let delta: [f64; 3] = std::array::from_fn(|c| {
                let d = p[c] - q[c];
                if wrap { d - d.round() } else { d }
            });
            let d = lattice.to_cartesian(delta);
            // |d ± t|² = |d|² + |t|² ± 2 d·t, of which the smaller one counts.
            let gain =
                translations.iter().fold(0.0, |best: f64, (t, t2)| best.min(t2 - 2.0 * dot(d, *t).abs()));
            let d2 = (dot(d, d) + gain).max(0.0);
            shortest = Some(shortest.map_or(d2, |s: f64| s.min(d2)));
        }
    }
    shortest.map(f64::sqrt)
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use druse_crystal::Element;
    use proptest::prelude::*;

    fn crystal(lattice: Lattice, frac: Vec<[f64; 3]>) -> Structure {
        let h = Element::from_z(1).unwrap();
        Structure::new(lattice, vec![h; frac.len()], frac).unwrap()
    }

    #[test]
    fn the_half_angstrom_rule_has_a_sharp_edge() {
        let cell = Lattice::cubic(4.0).unwrap();
        for (x, valid) in [(0.125, true), (0.1249, false), (0.875, true), (0.8751, false)] {
            let v = structure(&crystal(cell, vec![[0.0; 3], [x, 0.0, 0.0]]));
            for rule in StructureRule::ALL {
                assert_eq!(v.is_valid(rule), valid, "{x} {rule:?}");
            }
        }
    }

    #[test]
    fn rules_differ_in_own_images_volume_and_skewed_cells() {
        use StructureRule::{Cdvae, Gemsdiff, Strict, Symat};
        let valid = |s: &Structure| [Cdvae, Symat, Gemsdiff, Strict].map(|r| structure(s).is_valid(r));
        let flat = Lattice::from_parameters([0.3, 5.0, 5.0, 90.0, 90.0, 90.0]).unwrap();
        assert_eq!(valid(&crystal(flat, vec![[0.0; 3]])), [true, true, false, false]);
        let tiny = Lattice::cubic(0.4).unwrap();
        assert_eq!(valid(&crystal(tiny, vec![[0.0; 3]])), [false, false, false, false]);
        assert_eq!(
            structure(&crystal(tiny, vec![[0.0; 3]])).fault(Cdvae),
            Some(StructureFault::Volume(0.4f64.powi(3)))
        );
        // Sheared by three cells: the short distance is four cells away in the given description.
        let skewed = Lattice::from_rows([[3.0, 0.0, 0.0], [9.0, 3.0, 0.0], [0.0, 0.0, 3.0]]).unwrap();
        let s = crystal(skewed, vec![[0.0; 3], [0.5, 0.95, 0.0]]);
        let straight = skewed.to_cartesian([0.5, 0.95, 0.0]);
        let off = [straight[0].rem_euclid(3.0), straight[1].rem_euclid(3.0)];
        let want = off.map(|x| x.min(3.0 - x)).iter().map(|x| x * x).sum::<f64>().sqrt();
        let v = structure(&s);
        assert!((v.min_distance.unwrap() - want).abs() < 1e-9);
        assert!(v.min_distance_27_cells.unwrap() >= want - 1e-9);
    }

    proptest! {
        #[test]
        fn shortest_distance_does_not_depend_on_the_cell(
            frac in prop::collection::vec(prop::array::uniform3(0.0..1.0f64), 2..7),
            shift in prop::array::uniform3(-1.0..1.0f64), s in -4i32..5, t in -4i32..5,
        ) {
            let l = Lattice::from_parameters([3.0, 4.0, 5.5, 75.0, 98.0, 112.0]).unwrap();
            let plain = crystal(l, frac.clone());
            let exact = plain.min_distance().unwrap();
            let m = nalgebra::Matrix3::new(1.0, f64::from(s), f64::from(t), 0.0, 1.0, f64::from(s), 0.0, 0.0, 1.0);
            let sheared = Lattice::from_matrix(m * l.matrix()).unwrap();
            let moved = frac.iter().rev().map(|f| {
                sheared.to_fractional(l.to_cartesian(std::array::from_fn(|i| f[i] + shift[i])))
            }).collect();
            let other = structure(&crystal(sheared, moved));
            let this = structure(&plain);
            prop_assert!((this.min_distance.unwrap() - exact).abs() < 1e-8);
            prop_assert!((other.min_distance.unwrap() - exact).abs() < 1e-8);
            prop_assert!((this.min_own_image - other.min_own_image).abs() < 1e-8);
            prop_assert!(this.min_distance_27_cells.unwrap() >= exact - 1e-8);
        }
    }
}
