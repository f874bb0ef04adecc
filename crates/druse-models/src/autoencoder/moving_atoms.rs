//! Atoms that annealed Langevin dynamics move in a cell that was read off a latent.

use druse_crystal::{Element, Structure};
use druse_nn::graph::CutoffSearch;

use crate::process::Noise;
use crate::{InFlight, ModelError, SampleRequest};

/// A crystal on its way from noise: its cell is known and stays.
pub struct MovingAtoms {
    pub(crate) species: Vec<Element>,
    /// Whether the species were asked for, rather than read off the latent.
    pub(crate) species_given: bool,
    /// Fractional coordinates.
    pub(crate) frac: Vec<[f64; 3]>,
    /// The cell with what the neighbor search knows of it.
    pub(crate) search: CutoffSearch,
    /// What the latent adds to the input of the network; does not change on the way.
    pub(crate) projection: Vec<f32>,
    pub(crate) noise: Noise,
}

impl MovingAtoms {
    /// The structure as it is now.
    ///
    /// # Errors
    /// [`ModelError::Output`] when it is none.
    pub(crate) fn finish(self) -> Result<Structure, ModelError> {
        Structure::new(*self.search.lattice(), self.species, self.frac)
            .map_err(|e| ModelError::Output(e.to_string()))
    }
}

/// The latent of a request: the one that is given, or numbers of the standard normal distribution, each times its spread.
pub(crate) fn latent_of(
    request: &SampleRequest,
    spreads: impl Iterator<Item = f64>,
    noise: &mut Noise,
) -> Vec<f32> {
    match &request.conditions.latent {
        Some(latent) => latent.clone(),
        None => spreads.map(|spread| (spread * noise.normal()) as f32).collect(),
    }
}

/// Several crystals as the input of one call of a network.
pub(crate) struct Gathered<'a> {
    pub searches: Vec<(&'a CutoffSearch, &'a [[f64; 3]])>,
    pub species: Vec<Element>,
    /// Row after row.
    pub projection: Vec<f32>,
}

impl<'a> Gathered<'a> {
    pub fn new(crystals: &'a [InFlight<MovingAtoms>]) -> Self {
        let states = || crystals.iter().map(|crystal| &crystal.state);
        Self {
            searches: states().map(|s| (&s.search, s.frac.as_slice())).collect(),
            species: states().flat_map(|s| &s.species).copied().collect(),
            projection: states().flat_map(|s| &s.projection).copied().collect(),
        }
    }
}

/// Hands each crystal its share of outputs of the network, which have so many numbers an atom. A crystal whose share holds a
/// number that is not finite, or that `advance` refuses, fails; the others go on.
pub(crate) fn advance_each<const N: usize>(
    crystals: &mut [InFlight<MovingAtoms>],
    outputs: [(&[f32], usize); N],
    advance: impl Fn(&mut MovingAtoms, usize, [&[f32]; N]) -> Result<(), ModelError>,
) {
    let mut first = 0;
    for crystal in crystals {
        let atoms = first..first + crystal.state.species.len();
        first = atoms.end;
        let own = outputs.map(|(all, width)| &all[atoms.start * width..atoms.end * width]);
        let result = match own.iter().all(|numbers| numbers.iter().all(|x| x.is_finite())) {
            true => advance(&mut crystal.state, crystal.step, own),
            false => {
                let step = crystal.step;
                Err(ModelError::Output(format!("a number that is not finite at step {step}")))
            }
        };
        if let Err(error) = result {
            crystal.fail(error);
        }
    }
}
