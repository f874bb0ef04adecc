//! What a site sees of the others: sums over all atoms of an orbit around it.

use druse_crystal::{Lattice, SpaceGroup, WyckoffPosition};
use nalgebra::{Matrix3, Vector3};

use super::config::NetworkConfig;

/// Most translations of an atom that are looked at in a direction: cells beyond are flat or long beyond reason.
const MOST_TRANSLATIONS: i64 = 12;
/// Gaussians farther than this many of their widths are zero.
const REACH: f64 = 4.0;

/// Sums for all ordered pairs (a, b) of the sites of a crystal, a row of b for each a.
pub(super) struct Pairs {
    /// `Σ_j g_c(r_aj)` over the atoms j of the orbit of b: (pairs, radial).
    pub scalars: Vec<f32>,
    /// `P_a Σ_j g_c(r_aj) r̂_aj`, Cartesian: (pairs, radial, 3). P_a projects onto the free directions of site a.
    pub vectors: Vec<f32>,
    /// Free directions of each site, Cartesian, in units of ℓ, zero where there are fewer than three: (sites, 3, 3).
    pub directions: Vec<f32>,
    /// ℓ = (V / N)^⅓ in Å.
    pub scale: f64,
}

/// Gaussians at equal steps up to a cutoff, with an envelope that ends them there.
#[derive(Clone)]
pub(super) struct Radial {
    count: usize,
    cutoff: f64,
    step: f64,
}

impl Radial {
    pub fn new(config: &NetworkConfig) -> Self {
        Self { count: config.radial, cutoff: config.cutoff, step: config.cutoff / (config.radial - 1) as f64 }
    }

    /// Calls `f` with each function that is not zero at r (units of ℓ).
    fn each(&self, r: f64, mut f: impl FnMut(usize, f64)) {
        let envelope = (1.0 - (r / self.cutoff).powi(2)).powi(2);
        let first = (r / self.step - REACH).ceil().max(0.0) as usize;
        let last = ((r / self.step + REACH) as usize).min(self.count - 1);
        for c in first..=last {
            let x = r / self.step - c as f64;
            f(c, envelope * (-0.5 * x * x).exp());
        }
    }

    /// The sums for sites at fractional coordinates of the conventional cell, each on the subspace of its position; `None`
    /// for a cell that is too flat or long.
    pub fn pairs(
        &self,
        group: &SpaceGroup,
        conventional: &Lattice,
        positions: &[&WyckoffPosition],
        frac: &[[f64; 3]],
    ) -> Option<Pairs> {
        let primitive = group.centring().primitive_lattice(conventional).ok()?;
        let orbits: Vec<Vec<[f64; 3]>> =
            positions.iter().zip(frac).map(|(w, &f)| group.primitive_orbit(w, f)).collect();
        let atoms: usize = orbits.iter().map(Vec::len).sum();
        let scale = (primitive.volume() / atoms as f64).cbrt();
        let reach = self.cutoff * scale;
        let translations = primitive.face_distances().map(|d| (reach / d + 0.5).floor() as i64);
        if !scale.is_finite() || translations.iter().any(|&n| n > MOST_TRANSLATIONS) {
            return None;
        }
        let (sites, rows) = (frac.len(), primitive.matrix().transpose());
        let mut scalars = vec![0f32; sites * sites * self.count];
        let mut vectors = vec![0f32; 3 * scalars.len()];
        let mut directions = Vec::with_capacity(9 * sites);
        // Displacements as columns: Cartesian = Lᵀ fractional.
        let (to_cartesian, to_fractional) =
            (conventional.matrix().transpose(), conventional.inverse().transpose());
        for (a, (own, position)) in orbits.iter().zip(positions).enumerate() {
            let projector: Matrix3<f64> = to_cartesian * position.projector() * to_fractional;
            for i in 0..3 {
                let direction = position
                    .directions()
                    .get(i)
                    .map_or(Vector3::zeros(), |d| to_cartesian * Vector3::from(d.map(f64::from)) / scale);
                directions.extend(direction.iter().map(|&x| x as f32));
            }
            for (b, orbit) in orbits.iter().enumerate() {
                let pair = a * sites + b;
                let (scalars, vectors) = (
                    &mut scalars[pair * self.count..][..self.count],
                    &mut vectors[3 * pair * self.count..][..3 * self.count],
                );
                let mut sums = vec![Vector3::zeros(); self.count];
                for atom in orbit {
                    let d = Vector3::from(*atom) - Vector3::from(own[0]);
                    let d = rows * d.map(|x| x - x.round());
                    for_each_translation(&translations, &rows, |t| {
                        let d = d + t;
                        let square = d.norm_squared();
                        if square >= reach * reach || square < 1e-6 {
                            return;
                        }
                        let r = square.sqrt();
                        self.each(r / scale, |c, g| {
                            scalars[c] += g as f32;
                            sums[c] += d * (g / r);
                        });
                    });
                }
                for (v, sum) in vectors.chunks_exact_mut(3).zip(sums) {
                    let sum = projector * sum;
                    v.iter_mut().zip(&sum).for_each(|(v, &x)| *v = x as f32);
                }
            }
        }
        Some(Pairs { scalars, vectors, directions, scale })
    }
}

fn for_each_translation(n: &[i64; 3], columns: &Matrix3<f64>, mut f: impl FnMut(Vector3<f64>)) {
    for i in -n[0]..=n[0] {
        for j in -n[1]..=n[1] {
            let partial = columns.column(0) * i as f64 + columns.column(1) * j as f64;
            for k in -n[2]..=n[2] {
                f(partial + columns.column(2) * k as f64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use druse_crystal::SymmetricStructure;
    use druse_testkit::prototype;

    use super::*;

    fn of(crystal: &SymmetricStructure) -> Pairs {
        let positions: Vec<_> = crystal.positions().collect();
        let frac: Vec<_> = crystal.sites().iter().map(|s| s.frac).collect();
        let radial = Radial::new(&NetworkConfig::default());
        radial.pairs(crystal.group(), crystal.lattice(), &positions, &frac).unwrap()
    }

    #[test]
    fn rock_salt_sees_its_shells() {
        let crystal = SymmetricStructure::from_structure(&prototype("NaCl"), 0.01).unwrap();
        let pairs = of(&crystal);
        // ℓ is the distance of neighbors: six of the other kind at 1, twelve of the own at √2.
        let shell = |pair: usize, r: f64| {
            let mut sum = 0.0;
            Radial::new(&NetworkConfig::default()).each(r, |c, g| {
                sum += f64::from(pairs.scalars[pair * 32 + c]) * g;
            });
            sum
        };
        assert!(shell(1, 1.0) > 20.0 * shell(0, 1.0));
        assert!(shell(0, 2f64.sqrt()) > 20.0 * shell(1, 2f64.sqrt()));
        // No site can move.
        assert!(pairs.vectors.iter().chain(&pairs.directions).all(|&v| v.abs() < 1e-5));
    }

    #[test]
    fn sums_do_not_depend_on_the_description() {
        // Quartz by its symmetry, and in P1: sums over orbits are sums over the sites of P1.
        let structure = prototype("quartz");
        let crystal = SymmetricStructure::from_structure(&structure, 0.01).unwrap();
        let p1 = SpaceGroup::new(1).unwrap();
        let (primitive, position) = (crystal.primitive(), p1.wyckoff('a').unwrap());
        let positions = vec![position; primitive.len()];
        let radial = Radial::new(&NetworkConfig::default());
        let all = radial.pairs(p1, &primitive.lattice, &positions, &primitive.frac_coords).unwrap();
        let own = of(&crystal);
        let starts: Vec<usize> = crystal
            .positions()
            .scan(0, |start, w| {
                *start += w.primitive_multiplicity();
                Some(*start - w.primitive_multiplicity())
            })
            .collect();
        let sites = crystal.sites().len();
        for a in 0..sites {
            for b in 0..sites {
                let count = crystal.positions().nth(b).unwrap().primitive_multiplicity();
                for c in 0..32 {
                    let sum: f32 = (starts[b]..starts[b] + count)
                        .map(|j| all.scalars[(starts[a] * primitive.len() + j) * 32 + c])
                        .sum();
                    assert!((sum - own.scalars[(a * sites + b) * 32 + c]).abs() < 1e-4);
                }
            }
        }
    }

    #[test]
    fn flat_cells_are_refused() {
        let p1 = SpaceGroup::new(1).unwrap();
        let flat = Lattice::from_parameters([90.0, 90.0, 0.4, 90.0, 90.0, 90.0]).unwrap();
        let radial = Radial::new(&NetworkConfig::default());
        assert!(radial.pairs(p1, &flat, &[p1.wyckoff('a').unwrap()], &[[0.0; 3]]).is_none());
    }
}
