//! Positions with noise, the edges between them, and how the distances along these should change (Luo et al. 2023, section
//! 3.3; the frame of the positions as in the published code).

use druse_crystal::{Lattice, Structure};
use druse_nn::graph::{CutoffRule, CutoffSearch, DirectedGraph, Symmetrization};
use rayon::prelude::*;

use crate::ModelError;
use crate::process::{Noise, NoiseLevels, centering};

/// A crystal as the model sees it: its cell oriented by its six parameters, its atoms around the middle of the cell.
pub(super) struct Centered {
    pub lattice: Lattice,
    frac: Vec<[f64; 3]>,
}

impl Centered {
    /// Takes a crystal of a data set.
    ///
    /// # Errors
    /// [`ModelError::Output`] when its cell cannot be built again.
    pub fn new(s: &Structure) -> Result<Self, ModelError> {
        // Six numbers do not tell a cell from its mirror image.
        let s = &*s.right_handed();
        let lattice = Lattice::from_parameters(s.lattice.parameters())
            .map_err(|e| ModelError::Output(format!("cell of a training structure: {e}")))?;
        Ok(Self { lattice, frac: centering::gather(&s.frac_coords) })
    }
}

/// A crystal with noise on its positions.
pub(super) struct Noisy {
    /// The search that its edges come from.
    pub search: CutoffSearch,
    /// Noisy coordinates around the middle of the cell.
    pub frac: Vec<[f64; 3]>,
    /// From each noisy position to the nearest image of the true one, Cartesian (Å).
    back: Vec<[f64; 3]>,
}

impl Noisy {
    /// Adds Gaussian noise of a level (Å) to all positions of a crystal, for a search in its cell.
    pub fn new(search: CutoffSearch, crystal: &Centered, sigma: f64, noise: &mut Noise) -> Self {
        let lattice = crystal.lattice;
        let moved = |f: &[f64; 3]| {
            let change = lattice.to_fractional(std::array::from_fn(|_| sigma * noise.normal()));
            std::array::from_fn(|i| f[i] + change[i])
        };
        let mut frac: Vec<[f64; 3]> = crystal.frac.iter().map(moved).collect();
        centering::center(&mut frac);
        let back = frac.iter().zip(&crystal.frac).map(|(&x, &y)| lattice.min_image(x, y).0).collect();
        Self { search, frac, back }
    }

    /// How the length of each edge from `first` on, that leads between atoms counted from `first_atom`, should change: in Å.
    pub fn change(&self, graph: &DirectedGraph, edge: usize, first_atom: usize) -> f64 {
        let at = |i: u32| self.back[i as usize - first_atom];
        let (from, to, v) = (at(graph.source[edge]), at(graph.target[edge]), graph.vectors[edge]);
        let true_vector: [f64; 3] = std::array::from_fn(|a| v[a] + to[a] - from[a]);
        true_vector.iter().map(|x| x * x).sum::<f64>().sqrt() - graph.lengths[edge]
    }
}

/// The graph that norms are derived on: more edges than scores are given. With it and the mean of squares the published norms
/// of Perov-5 come out to 1.5 %; the five nearest have a smaller spread, since they are those that noise brought near.
const NORM_RULE: CutoffRule =
    CutoffRule { cutoff: 7.0, neighbors: 20, symmetrization: Symmetrization::ByIndex };
/// Perturbed crystals that a norm is derived from, at most: their edges determine it to some tenths of a percent.
const ENOUGH: usize = 4096;
/// And at least; small training sets are perturbed more than once.
const AT_LEAST: usize = 512;
/// Stream of the noise that the norms are derived with.
const SEED: u64 = 0x5e5c_0a7e;

/// The root of the mean square of the change of distances (Å) at each level, over the edges between different atoms of a
/// training set whose positions were perturbed at that level. Levels without edges keep √2 σ.
///
/// # Errors
/// [`ModelError::Output`] when a cell cannot be built again.
pub(super) fn derive_norms(levels: &NoiseLevels, training: &[&Structure]) -> Result<Vec<f64>, ModelError> {
    let step = training.len().div_ceil(ENOUGH).max(1);
    let crystals: Vec<(u64, Centered)> = (0u64..)
        .zip(training)
        .step_by(step)
        .map(|(i, s)| Ok((i, Centered::new(s)?)))
        .collect::<Result<_, ModelError>>()?;
    let draws = AT_LEAST.div_ceil(crystals.len().max(1));
    let norm = |level: usize| {
        let sigma = levels.sigma(level);
        let squares = |(index, crystal): &(u64, Centered)| {
            let mut noise = Noise::of_epoch(SEED, level as u64, *index);
            (0..draws).map(|_| of_one(crystal, sigma, &mut noise)).fold([0.0; 2], added)
        };
        let all: Vec<[f64; 2]> = crystals.par_iter().map(squares).collect();
        let [n, sum] = all.into_iter().fold([0.0; 2], added);
        if sum > 0.0 { (sum / n).sqrt() } else { 2f64.sqrt() * sigma }
    };
    Ok((0..levels.len()).map(norm).collect())
}

/// Fewer crystals than these tell nothing of the data set that they are from.
const TELLING: usize = 100;
/// Relative difference up to which norms count as those of a training set: a third of the published sets differs from the
/// whole by up to 6 %.
const SAME_DATA: f64 = 0.12;

/// Refuses norms of another data set than the training set: at the largest noise level, where the cells alone decide.
///
/// # Errors
/// [`ModelError::Config`] with both numbers; as [`derive_norms`].
pub(super) fn check_norms(
    (name, norms): (&str, &[f64]),
    levels: &NoiseLevels,
    training: &[&Structure],
) -> Result<(), ModelError> {
    let (Some(&published), true) = (norms.last(), training.len() >= TELLING) else { return Ok(()) };
    let sigma = levels.sigma(levels.len() - 1);
    let found = derive_norms(&NoiseLevels::geometric([sigma; 2], 1), training)?[0];
    if (found / published - 1.0).abs() <= SAME_DATA {
        return Ok(());
    }
    Err(ModelError::Config(format!(
        "noise.score_norm = {name}, but with noise of {sigma:.2} Å distances in the training set change by {found:.3} Å and \
         in that data set by {published:.3} Å (root of the mean square); set model.noise.score_norm = \"derived\""
    )))
}

fn added(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    [a[0] + b[0], a[1] + b[1]]
}

/// Number and sum of squares of the changes of distances in one perturbed crystal.
fn of_one(crystal: &Centered, sigma: f64, noise: &mut Noise) -> [f64; 2] {
    let noisy = Noisy::new(CutoffSearch::new(crystal.lattice, NORM_RULE), crystal, sigma, noise);
    let edges = noisy.search.found(&noisy.frac);
    let graph = DirectedGraph::from_edges(&[(crystal.lattice, &noisy.frac)], vec![edges]);
    let scored = (0..graph.num_edges()).filter(|&e| graph.source[e] != graph.target[e]);
    scored.map(|e| noisy.change(&graph, e, 0)).fold([0.0; 2], |sums, g| added(sums, [1.0, g * g]))
}

#[cfg(test)]
mod tests {
    use druse_testkit::prototype;

    use super::*;
    use crate::generative::symat::ScoreConfig;

    #[test]
    fn norms_begin_at_the_noise_of_two_positions() {
        let all = ["NaCl", "SrTiO3", "ZnS"].map(prototype);
        let training: Vec<&Structure> = all.iter().collect();
        let levels = NoiseLevels::geometric([0.01, 10.0], 8);
        let norms = derive_norms(&levels, &training).unwrap();
        assert!((norms[0] / (0.01 * 2f64.sqrt()) - 1.0).abs() < 0.03, "{norms:?}");
        assert!(norms.windows(2).all(|w| w[1] > 0.9 * w[0]), "{norms:?}");
        // At large levels atoms are anywhere in the cell, and the nearest image is some Å away.
        assert!((0.3..5.0).contains(&norms[7]), "{norms:?}");
    }

    /// The same atoms at the same places, given in a cell of either hand: not a crystal and its mirror image.
    #[test]
    fn left_handed_cells_are_the_same_crystal() {
        let lattice = Lattice::from_parameters([4.0, 5.0, 6.0, 75.0, 100.0, 110.0]).unwrap();
        let species = prototype("SrTiO3").species[..3].to_vec();
        let frac = [[0.1, 0.2, 0.3], [0.6, 0.35, 0.8], [0.3, 0.9, 0.45]];
        let turned = frac.map(|f| f.map(|x: f64| 1.0 - x)).to_vec();
        let right = Structure::new(lattice, species.clone(), frac.to_vec()).unwrap();
        let left = Structure::new(lattice.inverted(), species, turned).unwrap();
        let [right, left] = [&right, &left].map(|s| Centered::new(s).unwrap());
        assert!(left.lattice.is_right_handed());
        for (a, b) in right.frac.iter().flatten().zip(left.frac.iter().flatten()) {
            assert!((a - b).abs() < 1e-12, "{:?} {:?}", right.frac, left.frac);
        }
    }

    #[test]
    fn without_noise_no_distance_changes() {
        let crystal = Centered::new(&prototype("SrTiO3")).unwrap();
        let search = ScoreConfig::default().search(crystal.lattice);
        let noisy = Noisy::new(search, &crystal, 0.0, &mut Noise::new(1, 2));
        let edges = noisy.search.found(&noisy.frac);
        let graph = DirectedGraph::from_edges(&[(crystal.lattice, &noisy.frac)], vec![edges]);
        assert_eq!(graph.num_edges(), 25);
        assert!((0..25).all(|e| noisy.change(&graph, e, 0).abs() < 1e-9));
    }
}
