//! The predictor.

use std::sync::Arc;

use burn::tensor::Tensor;
use druse_crystal::{Element, Lattice, Structure};
use druse_nn::blocks::dimenet::{DimeNetPlusPlus, MAX_ELEMENT, MessageGeometry};
use druse_nn::graph::Multigraph;
use druse_nn::memory::to_host;
use druse_nn::ops::matrix;
use druse_nn::{ParamBuilder, ParamSpec, Params};
use serde_json::Value;

use super::config::PropertyConfig;
use crate::engine::map_micro_batches;
use crate::error::check_elements;
use crate::settings::Settings;
use crate::targets::{fit_property, property_of};
use crate::{
    BondCache, BondError, Bonds, LossTerm, ModelError, NoiseKey, Predictor, Prepared, Standardizer,
    Trainable, Warning,
};

/// A predictor without its parameters.
pub struct PropertyPredictor {
    config: PropertyConfig,
    specs: Vec<ParamSpec>,
    network: DimeNetPlusPlus,
    /// Of the property over the training set.
    standardizer: Option<Standardizer>,
    bonds: BondCache,
}

/// What the network reads of some crystals.
struct Input {
    geometry: MessageGeometry,
    species: Vec<Element>,
}

impl PropertyPredictor {
    /// Builds the network.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the configuration is impossible.
    pub fn new(config: PropertyConfig) -> Result<Self, ModelError> {
        config.validate()?;
        let mut builder = ParamBuilder::default();
        let network = DimeNetPlusPlus::new(&mut builder, "encoder", &config.network, 1)
            .map_err(|e| ModelError::Config(format!("network.{e}")))?;
        let bonds = BondCache::new();
        Ok(Self { specs: builder.finish(), network, standardizer: None, bonds, config })
    }

    /// Hyper-parameters.
    pub fn config(&self) -> &PropertyConfig {
        &self.config
    }

    /// The bonds found so far.
    pub fn bonds(&self) -> &BondCache {
        &self.bonds
    }

    fn standardizer(&self) -> Result<&Standardizer, ModelError> {
        let missing = || ModelError::Config("the predictor has not been trained: it knows no scale".into());
        self.standardizer.as_ref().ok_or_else(missing)
    }

    fn input(&self, structures: &[&Structure]) -> Result<Input, ModelError> {
        check_species(structures)?;
        let crystals: Vec<(Lattice, &[[f64; 3]])> =
            structures.iter().map(|s| (s.lattice, s.frac_coords.as_slice())).collect();
        let edges = structures
            .iter()
            .map(|s| Ok(self.bonds.get(s)?.edges.clone()))
            .collect::<Result<Vec<_>, BondError>>()?;
        let geometry = self.network.geometry(Arc::new(Multigraph::from_edges(&crystals, edges)));
        Ok(Input { geometry, species: structures.iter().flat_map(|s| s.species.iter().copied()).collect() })
    }

    /// Standardized predictions (B, 1).
    fn forward(&self, params: &Params, input: &Input) -> Tensor<2> {
        let atoms = self.network.forward(params, &input.geometry, &input.species);
        self.config.readout.apply(atoms, input.geometry.graph())
    }

    fn predict_micro_batch(
        &self,
        params: &Params,
        structures: &[&Structure],
    ) -> Result<Vec<f64>, ModelError> {
        let standardizer = self.standardizer()?;
        let input = self.input(structures)?;
        let rows = params.scope(|| self.forward(params, &input));
        let values = to_host(rows.reshape([structures.len()]))?;
        Ok(values.into_iter().map(|x| standardizer.restore(0, f64::from(x))).collect())
    }
}

fn check_species(structures: &[&Structure]) -> Result<(), ModelError> {
    check_elements(structures.iter().flat_map(|s| &s.species), MAX_ELEMENT)
}

/// Crystals with their standardized targets.
struct PreparedMicroBatch<'a> {
    model: &'a PropertyPredictor,
    input: Input,
    targets: Vec<f32>,
    /// Of the standardized property, in its unit.
    scale: f64,
}

impl Prepared for PreparedMicroBatch<'_> {
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError> {
        let predicted = self.model.forward(params, &self.input);
        let difference = predicted - matrix(self.targets.clone(), 1, params.device());
        let count = self.targets.len() as f64;
        let absolute = difference.clone().detach().abs().sum().mul_scalar(self.scale);
        Ok(vec![
            LossTerm { name: "mse", sum: (difference.clone() * difference).sum(), count, weight: 1.0 },
            LossTerm { name: "mae", sum: absolute, count, weight: 0.0 },
        ])
    }
}

impl Trainable for PropertyPredictor {
    fn kind(&self) -> &'static str {
        "property"
    }

    fn parameters(&self) -> &[ParamSpec] {
        &self.specs
    }

    fn fit_statistics(&mut self, training: &[&Structure]) -> Result<(), ModelError> {
        check_species(training)?;
        self.standardizer = Some(fit_property(&self.config.property, training)?);
        Ok(())
    }

    fn statistics(&self) -> Value {
        serde_json::json!({ "property": self.standardizer })
    }

    fn restore_statistics(&mut self, statistics: &Value) -> Result<(), ModelError> {
        let wrong = |e: String| ModelError::Config(format!("statistics of a property predictor: {e}"));
        let value = statistics.get("property").ok_or_else(|| wrong("no `property`".into()))?;
        let value: Option<Standardizer> =
            serde_json::from_value(value.clone()).map_err(|e| wrong(e.to_string()))?;
        let usable = |s: &Standardizer| {
            s.mean.len() == 1
                && s.std.len() == 1
                && s.mean[0].is_finite()
                && s.std[0].is_finite()
                && s.std[0] > 0.0
        };
        if value.as_ref().is_some_and(|s| !usable(s)) {
            return Err(wrong("expected one finite mean and one positive standard deviation".into()));
        }
        self.standardizer = value;
        Ok(())
    }

    /// Searches the bonds; reports structures with sites that have none.
    fn inspect(&self, structures: &[&Structure]) -> Result<Vec<Warning>, ModelError> {
        let isolated = self.bonds.isolated(structures)?;
        let warning = |(index, sites): (usize, Vec<u32>)| Warning {
            index,
            text: format!(
                "{} of {} sites have no bond and get no messages",
                sites.len(),
                structures[index].len()
            ),
        };
        Ok(isolated.into_iter().map(warning).collect())
    }

    fn prepare<'a>(
        &'a self,
        micro_batch: &[&Structure],
        _noise: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        let standardizer = self.standardizer()?;
        let targets = micro_batch
            .iter()
            .map(|s| Ok(standardizer.normalize(0, property_of(s, &self.config.property)?) as f32))
            .collect::<Result<_, ModelError>>()?;
        let (input, scale) = (self.input(micro_batch)?, standardizer.std[0]);
        Ok(Box::new(PreparedMicroBatch { model: self, input, targets, scale }))
    }

    /// Mean squared error of the standardized property, which is minimized, and mean absolute error in the unit of the
    /// property.
    fn loss_counts(&self, batch: &[&Structure]) -> Vec<f64> {
        vec![batch.len() as f64; 2]
    }
    /// A crystal whose bonds cannot be told has a graph without edges.
    fn graph(&self, structure: &Structure) -> Result<Option<Multigraph>, ModelError> {
        let bonds = Bonds::of(structure).map_or_else(|_| Vec::new(), |bonds| bonds.edges);
        let crystal = [(structure.lattice, structure.frac_coords.as_slice())];
        Ok(Some(Multigraph::from_edges(&crystal, vec![bonds])))
    }
}

impl Predictor for PropertyPredictor {
    fn property(&self) -> &str {
        &self.config.property
    }

    /// Its bonds are known afterwards.
    fn check(&self, structure: &Structure) -> Result<(), ModelError> {
        check_species(&[structure])?;
        self.bonds.get(structure)?;
        Ok(())
    }

    fn predict(&self, params: &Params, structures: &[&Structure]) -> Result<Vec<f64>, ModelError> {
        map_micro_batches(structures, params.device(), |structures| {
            self.predict_micro_batch(params, structures)
        })
    }
}
