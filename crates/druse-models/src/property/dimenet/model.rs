//! The predictor.

use std::collections::BTreeSet;
use std::sync::Arc;

use burn::tensor::Tensor;
use druse_crystal::{Element, Lattice, Structure};
use druse_nn::blocks::dimenet::{DimeNetConfig, DimeNetPlusPlus, MAX_ELEMENT, MessageGeometry};
use druse_nn::graph::Multigraph;
use druse_nn::{ParamBuilder, ParamSpec, Params};
use serde_json::Value;

use super::config::PropertyConfig;
use crate::engine::map_micro_batches;
use crate::error::check_elements;
use crate::property::regressor::host_rows;
use crate::property::target::{Target, TargetValues};
use crate::settings::Settings;
use crate::{
    BondCache, BondError, Bonds, LossTerm, ModelError, NoiseKey, Predictor, Prepared, Trainable, Warning,
};

/// A predictor without its parameters.
pub struct PropertyPredictor {
    config: PropertyConfig,
    specs: Vec<ParamSpec>,
    network: DimeNetPlusPlus,
    target: Target,
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
        let target = Target::new(&config.property);
        Ok(Self { specs: builder.finish(), network, target, bonds, config })
    }

    /// Hyper-parameters.
    pub fn config(&self) -> &PropertyConfig {
        &self.config
    }

    /// The bonds found so far.
    pub fn bonds(&self) -> &BondCache {
        &self.bonds
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
}

fn check_species(structures: &[&Structure]) -> Result<(), ModelError> {
    check_elements(structures.iter().flat_map(|s| &s.species), MAX_ELEMENT)
}

/// Crystals with their standardized targets.
struct PreparedMicroBatch<'a> {
    model: &'a PropertyPredictor,
    input: Input,
    targets: TargetValues,
}

impl Prepared for PreparedMicroBatch<'_> {
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError> {
        Ok(self.targets.loss(self.model.forward(params, &self.input)))
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
        self.target.fit(training)
    }

    fn statistics(&self) -> Value {
        self.target.statistics()
    }

    fn restore_statistics(&mut self, statistics: &Value) -> Result<(), ModelError> {
        self.target.restore_statistics(statistics)
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
        let (targets, input) = (self.target.values(micro_batch)?, self.input(micro_batch)?);
        Ok(Box::new(PreparedMicroBatch { model: self, input, targets }))
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

    fn unseen(&self, structure: &Structure) -> BTreeSet<Element> {
        self.target.unseen(structure)
    }

    fn predict(&self, params: &Params, structures: &[&Structure]) -> Result<Vec<f64>, ModelError> {
        map_micro_batches(structures, params.device(), |structures| {
            self.target.restore(|| {
                let input = self.input(structures)?;
                Ok(params.scope(|| self.forward(params, &input)))
            })
        })
    }

    fn embedding(&self) -> String {
        let DimeNetConfig { blocks, output_embedding, .. } = self.config.network;
        format!("{} activations before the last layers of the output blocks", (blocks + 1) * output_embedding)
    }

    fn embed(&self, params: &Params, structures: &[&Structure]) -> Result<Vec<Vec<f64>>, ModelError> {
        map_micro_batches(structures, params.device(), |structures| {
            let input = self.input(structures)?;
            host_rows(params.scope(|| {
                let atoms = self.network.hidden(params, &input.geometry, &input.species);
                self.config.readout.apply(atoms, input.geometry.graph())
            }))
        })
    }
}
