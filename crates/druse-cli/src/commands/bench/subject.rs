//! The model and the structures that are measured.

use druse_crystal::{Element, Lattice, Structure};
use druse_models::{Conditions, Generator, MicroBatchLimit, NoiseKey, SampleRequest};
use druse_nn::Params;
use druse_nn::device;
use druse_run::RunConfig;

use crate::failure::Failure;
use crate::models::{ComputeArgs, lacking, registry};

/// A freshly initialized model and a batch.
pub struct Subject {
    pub config: RunConfig,
    pub generator: Box<dyn Generator>,
    pub params: Params,
    pub structures: Vec<Structure>,
}

impl Subject {
    /// Takes the batch from the configuration's data set, or makes one of perovskites where none is named.
    pub fn new(config: RunConfig, size: usize, compute: &ComputeArgs) -> Result<Self, Failure> {
        if size == 0 {
            return Err(Failure::mistake("--batch-size 0: expected at least 1"));
        }
        let device = device::parse(&compute.device)?;
        let mut structures = if config.data.path.as_os_str().is_empty() {
            vec![perovskite()?; size]
        } else {
            let all = config.data.load()?.train.entries;
            if all.is_empty() {
                return Err(Failure::mistake("the data set has no structure to measure with"));
            }
            // Spread over the set, which may be sorted.
            (0..size).map(|i| all[i * all.len() / size].structure.clone()).collect()
        };
        let mut generator = config.build(registry())?.into_generator().map_err(lacking)?;
        let mut reasons = generator.unusable(&structures.iter().collect::<Vec<_>>()).into_iter();
        structures.retain(|_| reasons.next().flatten().is_none());
        if structures.is_empty() {
            return Err(Failure::mistake("the model can learn from none of the structures"));
        }
        generator.fit_statistics(&structures.iter().collect::<Vec<_>>())?;
        let precision = compute.precision.unwrap_or(config.train.precision);
        let params = Params::init(generator.parameters(), 0, &device).with_precision(precision)?;
        Ok(Self { config, generator, params, structures })
    }

    /// All structures.
    pub fn batch(&self) -> Vec<&Structure> {
        self.structures.iter().collect()
    }

    /// How much is computed at a time.
    pub fn limit(&self) -> MicroBatchLimit {
        MicroBatchLimit::new(self.config.train.micro_batch_atoms, self.params.device())
    }

    /// Whether the CPU computes.
    pub fn on_host(&self) -> bool {
        device::is_host(self.params.device())
    }

    /// The structure of median size.
    pub fn one(&self) -> Vec<&Structure> {
        let mut sorted = self.batch();
        sorted.sort_by_key(|s| s.len());
        vec![sorted[sorted.len() / 2]]
    }

    /// Atoms of all structures.
    pub fn atoms(&self) -> usize {
        self.structures.iter().map(Structure::len).sum()
    }
}

/// Keys of the noise of a batch.
pub fn noise(batch: &[&Structure], epoch: u64) -> Vec<NoiseKey> {
    (0..batch.len() as u64).map(|index| NoiseKey { seed: 0, epoch, index }).collect()
}

/// Requests for structures like those of a batch; with a latent at the origin where the model decodes latents.
pub fn requests(model: &dyn Generator, batch: &[&Structure]) -> Result<Vec<SampleRequest>, Failure> {
    let width = model.autoencoder().map(|a| a.latent_width());
    let conditions = |s: &Structure| match width {
        None => model.conditions_like(s),
        Some(width) => Ok(Conditions::latent(vec![0.0; width]).and_species(s.species.iter().copied())),
    };
    (0..).zip(batch).map(|(index, s)| Ok(SampleRequest::new(conditions(s)?, 0, index))).collect()
}

/// A copy with every atom moved by up to 3 % of the cell, by a fixed pattern.
pub fn distorted(s: &Structure) -> Structure {
    let frac = s.frac_coords.iter().enumerate().map(|(i, f)| {
        std::array::from_fn(|x| (f[x] + 0.03 * ((7 * i + 3 * x) as f64).sin()).rem_euclid(1.0))
    });
    Structure { frac_coords: frac.collect(), ..s.clone() }
}

/// Cubic SrTiO3, a = 3.905 Å.
fn perovskite() -> Result<Structure, Failure> {
    let element = |s| Element::from_symbol(s).map_err(Failure::mistake);
    let (sr, ti, o) = (element("Sr")?, element("Ti")?, element("O")?);
    let coords = vec![[0.0; 3], [0.5; 3], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]];
    let lattice = Lattice::cubic(3.905).map_err(Failure::mistake)?;
    Structure::new(lattice, vec![sr, ti, o, o, o], coords).map_err(Failure::mistake)
}
