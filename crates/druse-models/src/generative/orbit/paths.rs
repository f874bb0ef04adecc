//! Crystals by their free numbers, in all descriptions that are as good, and the shortest path to one of them.

use std::sync::OnceLock;

use druse_crystal::{
    DistinctSite, SpaceGroup, SymmetricStructure, SymmetryOperation, Template, WyckoffPosition, wrap_unit,
};
use nalgebra::{DMatrix, DVector, Matrix3, Vector3};

use super::cell;
use super::config::Coupling;

/// Free parameters of a site; those that its position lacks are zero.
pub(super) type Parameters = [f64; 3];

/// Parameters that differ by less are the same.
const SAME: f64 = 1e-4;
/// Points this close (fractional) to a subspace are on it.
const ON_SUBSPACE: f64 = 1e-4;
/// Distance (Å) within which a moved site is on a position.
const ON_POSITION: f64 = 1e-3;
/// Most descriptions that are kept of a crystal.
const MOST_DESCRIPTIONS: usize = 64;

/// Images of each site of a description on its own subspace.
type Description = Vec<Vec<Parameters>>;

/// A crystal of the training set.
#[derive(Debug, Clone)]
pub(super) struct Described {
    /// Its sites in the order of its template; of the descriptions that a shift of the origin or an exchange of axes makes, one
    /// with the letters that all crystals of its structure type have.
    pub crystal: SymmetricStructure,
    /// Numbers of the cell.
    pub cell: [f64; cell::COORDINATES],
    coupling: Coupling,
    /// Looked for when a path is asked for.
    descriptions: OnceLock<Vec<Description>>,
}

fn padded(parameters: &[f64]) -> Parameters {
    std::array::from_fn(|i| parameters.get(i).copied().unwrap_or(0.0))
}

/// The difference of two parameters of a site, in [-½, ½).
fn wrapped(d: f64) -> f64 {
    d - (d + 0.5).floor()
}

fn same(a: &Parameters, b: &Parameters) -> bool {
    a.iter().zip(b).all(|(a, b)| wrapped(a - b).abs() < SAME)
}

/// Parameters of the images of a point that lie on the subspace of a position.
fn images(group: &SpaceGroup, position: &WyckoffPosition, frac: [f64; 3]) -> Vec<Parameters> {
    let mut found: Vec<Parameters> = Vec::new();
    for operation in group.operations() {
        let image = operation.apply(frac);
        let parameters = position.parameters(image);
        let on = position.point(&parameters);
        // The subspace passes through the cell in several places where its directions do.
        if !on.iter().zip(image).all(|(a, b)| (a - b - (a - b).round()).abs() < ON_SUBSPACE) {
            continue;
        }
        let parameters = padded(&parameters).map(wrap_unit);
        if !found.iter().any(|known| same(known, &parameters)) {
            found.push(parameters);
        }
    }
    found
}

/// The sites of a crystal, in their order, after each of the moves that leave its space group what it is; the first one is none.
pub(super) fn moved(crystal: &SymmetricStructure) -> impl Iterator<Item = Vec<DistinctSite>> + '_ {
    let group = crystal.group();
    group.normalizer().operations().iter().map(move |operation| {
        let moved = |site: &DistinctSite| {
            let frac = operation.apply(site.frac);
            let letter = group.nearest_position(crystal.lattice(), frac, ON_POSITION).position.letter();
            DistinctSite { letter, frac, ..*site }
        };
        crystal.sites().iter().map(moved).collect()
    })
}

/// The same crystal with the letters that its structure type has in canonical form, its sites in the order of its template.
fn in_standard_form(crystal: SymmetricStructure) -> SymmetricStructure {
    let sequence = crystal.template().sequence();
    let canonical = sequence.canonical();
    let group = crystal.group();
    let lattice = *crystal.lattice();
    let mut sites = crystal.sites().to_vec();
    if sequence != canonical {
        let moved = moved(&crystal).find(|sites| {
            let pairs = sites.iter().map(|s| (s.element, s.letter)).collect();
            Template::new(group, pairs).is_ok_and(|template| template.sequence() == canonical)
        });
        sites = moved.unwrap_or(sites);
    }
    sites.sort_by_key(|site| (site.element, site.letter.is_ascii_uppercase(), site.letter));
    SymmetricStructure::new(group, &lattice, sites).unwrap_or(crystal)
}

impl Described {
    pub fn new(crystal: SymmetricStructure, coupling: Coupling) -> Self {
        let crystal = in_standard_form(crystal);
        let cell = cell::coordinates(crystal.lattice());
        Self { crystal, cell, coupling, descriptions: OnceLock::new() }
    }

    fn descriptions(&self) -> &[Description] {
        self.descriptions.get_or_init(|| self.found_descriptions())
    }

    fn found_descriptions(&self) -> Vec<Description> {
        let crystal = &self.crystal;
        let group = crystal.group();
        let own: Description = crystal
            .sites()
            .iter()
            .zip(crystal.positions())
            .map(|(site, position)| vec![padded(&position.parameters(site.frac)).map(wrap_unit)])
            .collect();
        let described = |operation: &SymmetryOperation| {
            let of_site = |(site, position): (&DistinctSite, &WyckoffPosition)| {
                let found = images(group, position, operation.apply(site.frac));
                (!found.is_empty()).then_some(found)
            };
            // An operation that takes a site onto another position makes another template.
            crystal.sites().iter().zip(crystal.positions()).map(of_site).collect::<Option<Description>>()
        };
        match self.coupling {
            Coupling::None => vec![own],
            // The first operation is the identity.
            Coupling::Images => vec![described(&group.operations()[0]).unwrap_or(own)],
            Coupling::Normalizer => {
                let mut all: Vec<Description> = Vec::new();
                for description in group.normalizer().operations().iter().filter_map(described) {
                    // Images of a site are the same set whichever of them it began with.
                    let known = all.iter().any(|other| {
                        other.iter().zip(&description).all(|(a, b)| a.iter().any(|a| same(a, &b[0])))
                    });
                    if !known {
                        all.push(description);
                    }
                    if all.len() == MOST_DESCRIPTIONS {
                        break;
                    }
                }
                if all.is_empty() { vec![own] } else { all }
            }
        }
    }

    /// The shortest of the paths that lead from these parameters to the crystal: how far the parameters of each site go.
    pub fn path(&self, start: &[Parameters]) -> Vec<Parameters> {
        let best = self
            .descriptions()
            .iter()
            .map(|description| self.assigned(description, start))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let mut path = best.expect("a crystal has a description").1;
        self.take_off_drift(&mut path);
        path
    }

    /// Sites of one element and position exchanged, so that all paths together are short, with the sum of the squares of
    /// their lengths (Å²).
    fn assigned(&self, description: &[Vec<Parameters>], start: &[Parameters]) -> (f64, Vec<Parameters>) {
        let metric = self.metric();
        let sites = self.crystal.sites();
        let positions: Vec<&WyckoffPosition> = self.crystal.positions().collect();
        let nearest = |from: usize, to: usize| {
            let directions = directions(positions[from]);
            let of_image = |image: &Parameters| {
                let step: Parameters = std::array::from_fn(|i| wrapped(image[i] - start[from][i]));
                let d = directions * Vector3::from(step);
                (d.dot(&(metric * d)), step)
            };
            let steps = description[to].iter().map(of_image);
            steps.min_by(|a, b| a.0.total_cmp(&b.0)).expect("a site is an image of itself")
        };
        let mut ends: Vec<usize> = (0..sites.len()).collect();
        let kind = |k: usize| (sites[k].element, sites[k].letter);
        // Exchanges of two until none helps: sets are small, and the start is random anyway.
        let mut improved = true;
        while improved {
            improved = false;
            for i in 0..sites.len() {
                for j in i + 1..sites.len() {
                    if kind(i) != kind(j) || positions[i].is_fixed() {
                        continue;
                    }
                    let as_is = nearest(i, ends[i]).0 + nearest(j, ends[j]).0;
                    let exchanged = nearest(i, ends[j]).0 + nearest(j, ends[i]).0;
                    if exchanged < as_is - 1e-9 {
                        ends.swap(i, j);
                        improved = true;
                    }
                }
            }
        }
        let mut total = 0.0;
        let steps = (0..sites.len()).map(|k| {
            let (square, step) = nearest(k, ends[k]);
            total += square * positions[k].primitive_multiplicity() as f64;
            step
        });
        let steps = steps.collect();
        (total, steps)
    }

    fn metric(&self) -> Matrix3<f64> {
        let rows = self.crystal.lattice().matrix();
        rows * rows.transpose()
    }

    /// Where the origin is free along directions, the crystal as a whole does not move along them.
    fn take_off_drift(&self, path: &mut [Parameters]) {
        let polar = self.crystal.group().normalizer().polar_directions();
        if polar.is_empty() {
            return;
        }
        let (mut mean, mut atoms) = (Vector3::zeros(), 0.0);
        for (position, step) in self.crystal.positions().zip(&*path) {
            let weight = position.primitive_multiplicity() as f64;
            mean += directions(position) * Vector3::from(*step) * weight;
            atoms += weight;
        }
        mean /= atoms;
        let metric = self.metric();
        let basis = DMatrix::from_fn(3, polar.len(), |i, j| polar[j][i]);
        let metric = DMatrix::from_fn(3, 3, |i, j| metric[(i, j)]);
        let mean = DVector::from_fn(3, |i, _| mean[i]);
        let square = basis.transpose() * &metric * &basis;
        let Some(inverse) = square.try_inverse() else { return };
        let drift = &basis * (inverse * basis.transpose() * metric * mean);
        let drift = [drift[0], drift[1], drift[2]];
        for (position, step) in self.crystal.positions().zip(path) {
            let origin = position.origin();
            let moved: [f64; 3] = std::array::from_fn(|i| origin[i] + drift[i]);
            let own = padded(&position.parameters(moved));
            (0..3).for_each(|i| step[i] -= own[i]);
        }
    }
}

/// Directions of the free parameters as columns (fractional).
pub(super) fn directions(position: &WyckoffPosition) -> Matrix3<f64> {
    Matrix3::from_fn(|i, j| position.directions().get(j).map_or(0.0, |d| f64::from(d[i])))
}

#[cfg(test)]
mod tests {
    use druse_testkit::prototype;

    use super::*;

    /// Ti on 2a, O on 4f (x, x, 0).
    fn rutile() -> SymmetricStructure {
        let group = SpaceGroup::new(136).unwrap();
        let lattice = group.lattice_system().lattice(&[4.594, 2.959]).unwrap();
        let site = |symbol: &str, letter, parameters: &[f64]| {
            let frac = group.wyckoff(letter).unwrap().point(parameters);
            DistinctSite { element: symbol.parse().unwrap(), letter, frac }
        };
        let sites = vec![site("Ti", 'a', &[]), site("O", 'f', &[0.305])];
        SymmetricStructure::new(group, &lattice, sites).unwrap()
    }

    #[test]
    fn rutile_has_equal_descriptions() {
        // x and 1 - x are images; shifts of the origin that exchange Ti with an empty position make another template.
        let rutile = Described::new(rutile(), Coupling::Normalizer);
        let free = rutile.crystal.positions().position(|w| w.freedom() == 1).unwrap();
        let images = &rutile.descriptions()[0][free];
        assert_eq!(images.len(), 2, "{images:?}");
        assert!((images[0][0] + images[1][0] - 1.0).abs() < 1e-9);
        // Whatever the start, the way is no longer than a quarter.
        for i in 0..50 {
            let mut start = vec![[0.0; 3]; 2];
            start[free][0] = f64::from(i) / 50.0;
            let path = rutile.path(&start);
            let end = wrap_unit(start[free][0] + path[free][0]);
            assert!(path[free][0].abs() <= 0.31 && images.iter().any(|u| (u[0] - end).abs() < 1e-9));
        }
    }

    #[test]
    fn sites_of_a_kind_are_exchanged() {
        let structure = prototype("quartz");
        let p1 = SpaceGroup::new(1).unwrap();
        let sites = structure.species.iter().zip(&structure.frac_coords);
        let sites = sites.map(|(&element, &frac)| DistinctSite { element, letter: 'a', frac });
        let crystal = SymmetricStructure::new(p1, &structure.lattice, sites.collect()).unwrap();
        let described = Described::new(crystal, Coupling::Normalizer);
        // From the crystal itself with two oxygens exchanged, and shifted as a whole, there is no way to go.
        // Its sites are by element: oxygen first.
        let oxygen = |&i: &usize| structure.species[i].symbol() != "O";
        let mut order: Vec<usize> = (0..structure.len()).collect();
        order.sort_by_key(oxygen);
        let mut start: Vec<Parameters> = order.iter().map(|&i| structure.frac_coords[i]).collect();
        start.swap(0, 2);
        let path = described.path(&start);
        assert!(path.iter().flatten().all(|x| x.abs() < 1e-9), "{path:?}");
        let shifted: Vec<Parameters> = start.iter().map(|f| [f[0] + 0.05, f[1], f[2] - 0.03]).collect();
        let path = described.path(&shifted);
        assert!(path.iter().flatten().all(|x| x.abs() < 1e-6), "{path:?}");
    }

    #[test]
    fn all_descriptions_are_the_same_crystal() {
        for (name, structure) in druse_testkit::prototypes() {
            let Ok(crystal) = SymmetricStructure::from_structure(&structure, 0.01) else { continue };
            let described = Described::new(crystal, Coupling::Normalizer);
            let crystal = described.crystal.clone();
            let sequence = crystal.template().sequence();
            assert_eq!(sequence, sequence.canonical(), "{name}");
            for description in described.descriptions() {
                let sites = crystal.sites().iter().zip(crystal.positions()).zip(description);
                let sites = sites.map(|((site, position), images)| {
                    let own = &images[images.len() - 1][..position.freedom()];
                    DistinctSite { frac: position.point(own), ..*site }
                });
                let again =
                    SymmetricStructure::new(crystal.group(), crystal.lattice(), sites.collect()).unwrap();
                let near = |s: &SymmetricStructure| {
                    let p = s.primitive();
                    let mut all: Vec<i64> = Vec::new();
                    for i in 0..p.len() {
                        for j in 0..p.len() {
                            let (d, _) = p.lattice.min_image(p.frac_coords[i], p.frac_coords[j]);
                            let d = d.iter().map(|x| x * x).sum::<f64>().sqrt();
                            let pair = i64::from(p.species[i].z()) * 1000 + i64::from(p.species[j].z());
                            all.push(pair * 100_000 + (d * 500.0).round() as i64);
                        }
                    }
                    all.sort_unstable();
                    all
                };
                let (a, b) = (near(&again), near(&crystal));
                let differ = a.iter().zip(&b).filter(|(a, b)| (*a - *b).abs() > 1).count();
                assert_eq!(differ, 0, "{name}");
            }
        }
    }
}
