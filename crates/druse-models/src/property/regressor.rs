//! Predictors that make a vector of a crystal, and a number of the vector.

use std::collections::BTreeSet;

use burn::tensor::Tensor;
use druse_crystal::{Element, Structure};
use druse_nn::memory::to_host;
use druse_nn::{ParamBuilder, ParamSpec, Params};
use serde_json::Value;

use super::target::{Target, TargetValues};
use crate::engine::map_micro_batches;
use crate::settings::Settings;
use crate::{BatchStatistics, LossTerm, ModelError, NoiseKey, Predictor, Prepared, Trainable};

/// A network that makes a vector of every crystal, and a number of the vector.
pub trait CrystalNetwork: Send + Sync + Sized + 'static {
    /// What it is built from.
    type Settings: Settings + Clone;
    /// What it reads of some crystals.
    type Input: Send + Sync;

    /// The name of its kind of model.
    const KIND: &'static str;

    /// Registers the layers.
    fn new(builder: &mut ParamBuilder, settings: &Self::Settings) -> Self;

    /// The property that the settings name.
    fn property(settings: &Self::Settings) -> &str;

    /// What the vector is, in words.
    fn embedding(settings: &Self::Settings) -> String;

    /// What is needed of crystals besides the weights.
    ///
    /// # Errors
    /// [`ModelError`] when one cannot be represented.
    fn read(&self, structures: &[&Structure]) -> Result<Self::Input, ModelError>;

    /// The vectors (B, width).
    fn embed(&self, params: &Params, input: &Self::Input) -> Tensor<2>;

    /// The standardized property (B, 1) of the vectors.
    fn output(&self, params: &Params, embedding: Tensor<2>) -> Tensor<2>;
}

/// A [`CrystalNetwork`] that learns a property and predicts it, without its parameters. Its batch normalizations take the
/// statistics of the whole batch.
pub struct Regressor<N: CrystalNetwork> {
    settings: N::Settings,
    specs: Vec<ParamSpec>,
    network: N,
    target: Target,
}

impl<N: CrystalNetwork> Regressor<N> {
    /// Builds the network.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the settings are impossible.
    pub fn new(settings: N::Settings) -> Result<Self, ModelError> {
        settings.validate()?;
        let mut builder = ParamBuilder::default();
        let network = N::new(&mut builder, &settings);
        let target = Target::new(N::property(&settings));
        Ok(Self { specs: builder.finish(), network, target, settings })
    }

    /// Hyper-parameters.
    pub fn config(&self) -> &N::Settings {
        &self.settings
    }

    /// The network.
    pub fn network(&self) -> &N {
        &self.network
    }

    fn forward(&self, params: &Params, input: &N::Input) -> Tensor<2> {
        self.network.output(params, self.network.embed(params, input))
    }
}

/// Crystals with their standardized targets.
struct PreparedMicroBatch<'a, N: CrystalNetwork> {
    model: &'a Regressor<N>,
    input: N::Input,
    targets: TargetValues,
}

impl<N: CrystalNetwork> Prepared for PreparedMicroBatch<'_, N> {
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError> {
        Ok(self.targets.loss(self.model.forward(params, &self.input)))
    }
}

impl<N: CrystalNetwork> Trainable for Regressor<N> {
    fn kind(&self) -> &'static str {
        N::KIND
    }

    fn parameters(&self) -> &[ParamSpec] {
        &self.specs
    }

    fn fit_statistics(&mut self, training: &[&Structure]) -> Result<(), ModelError> {
        super::element_vectors::atom_rows(training)?;
        self.target.fit(training)
    }

    fn statistics(&self) -> Value {
        self.target.statistics()
    }

    fn restore_statistics(&mut self, statistics: &Value) -> Result<(), ModelError> {
        self.target.restore_statistics(statistics)
    }

    fn batch_statistics(&self) -> BatchStatistics {
        BatchStatistics::Whole
    }

    fn prepare<'a>(
        &'a self,
        micro_batch: &[&Structure],
        _noise: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        let (targets, input) = (self.target.values(micro_batch)?, self.network.read(micro_batch)?);
        Ok(Box::new(PreparedMicroBatch { model: self, input, targets }))
    }

    /// Mean squared error of the standardized property, which is minimized, and mean absolute error in the unit of the
    /// property.
    fn loss_counts(&self, batch: &[&Structure]) -> Vec<f64> {
        vec![batch.len() as f64; 2]
    }
}

impl<N: CrystalNetwork> Predictor for Regressor<N> {
    fn property(&self) -> &str {
        self.target.name()
    }

    fn check(&self, structure: &Structure) -> Result<(), ModelError> {
        self.network.read(&[structure]).map(|_| ())
    }

    fn unseen(&self, structure: &Structure) -> BTreeSet<Element> {
        self.target.unseen(structure)
    }

    fn predict(&self, params: &Params, structures: &[&Structure]) -> Result<Vec<f64>, ModelError> {
        map_micro_batches(structures, params.device(), |structures| {
            self.target.restore(|| {
                let input = self.network.read(structures)?;
                Ok(params.scope(|| self.forward(params, &input)))
            })
        })
    }

    fn embedding(&self) -> String {
        N::embedding(&self.settings)
    }

    fn embed(&self, params: &Params, structures: &[&Structure]) -> Result<Vec<Vec<f64>>, ModelError> {
        map_micro_batches(structures, params.device(), |structures| {
            let input = self.network.read(structures)?;
            host_rows(params.scope(|| self.network.embed(params, &input)))
        })
    }
}

/// The rows of a matrix.
pub(crate) fn host_rows(rows: Tensor<2>) -> Result<Vec<Vec<f64>>, ModelError> {
    let [count, width] = rows.dims();
    let values = to_host(rows.reshape([count * width]))?;
    Ok(values.chunks(width.max(1)).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect())
}
