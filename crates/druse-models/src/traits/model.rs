//! A model of any kind, by what it can do.

use crate::{Autoencoder, Generator, ModelError, Predictor, Trainable};

const NO_GENERATOR: &str = "does not generate structures (no `Generator`)";
const NO_PREDICTOR: &str = "does not predict properties (no `Predictor`)";

/// A model of a kind that is registered.
#[non_exhaustive]
pub enum Model {
    /// It generates crystals.
    Generator(Box<dyn Generator>),
    /// It predicts a property.
    Predictor(Box<dyn Predictor>),
    /// It can be trained, and nothing else that drivers know of.
    Trainable(Box<dyn Trainable>),
}

impl Model {
    /// A generative model.
    pub fn generator(model: impl Generator + 'static) -> Self {
        Self::Generator(Box::new(model))
    }

    /// A model that predicts a property.
    pub fn predictor(model: impl Predictor + 'static) -> Self {
        Self::Predictor(Box::new(model))
    }

    /// The model as the trainer sees it.
    pub fn trainable(&self) -> &dyn Trainable {
        match self {
            Self::Generator(model) => model.as_ref(),
            Self::Predictor(model) => model.as_ref(),
            Self::Trainable(model) => model.as_ref(),
        }
    }

    /// The model as the trainer sees it.
    pub fn trainable_mut(&mut self) -> &mut dyn Trainable {
        match self {
            Self::Generator(model) => model.as_mut(),
            Self::Predictor(model) => model.as_mut(),
            Self::Trainable(model) => model.as_mut(),
        }
    }

    /// The model as the sampler sees it.
    ///
    /// # Errors
    /// [`ModelError::Lacks`] for a model that does not generate.
    pub fn as_generator(&self) -> Result<&dyn Generator, ModelError> {
        match self {
            Self::Generator(model) => Ok(model.as_ref()),
            other => Err(other.lacks(NO_GENERATOR)),
        }
    }

    /// The model as a predictor.
    ///
    /// # Errors
    /// [`ModelError::Lacks`] for a model that predicts nothing.
    pub fn as_predictor(&self) -> Result<&dyn Predictor, ModelError> {
        match self {
            Self::Predictor(model) => Ok(model.as_ref()),
            other => Err(other.lacks(NO_PREDICTOR)),
        }
    }

    /// The model's latent space.
    ///
    /// # Errors
    /// [`ModelError::Lacks`] for a model without one.
    pub fn as_autoencoder(&self) -> Result<&dyn Autoencoder, ModelError> {
        match self {
            Self::Generator(model) => model.autoencoder(),
            _ => None,
        }
        .ok_or_else(|| self.lacks("has no latent space (no `Autoencoder`)"))
    }

    /// The model as the sampler sees it.
    ///
    /// # Errors
    /// [`ModelError::Lacks`] for a model that does not generate.
    pub fn into_generator(self) -> Result<Box<dyn Generator>, ModelError> {
        match self {
            Self::Generator(model) => Ok(model),
            other => Err(other.lacks(NO_GENERATOR)),
        }
    }

    /// The model as a predictor.
    ///
    /// # Errors
    /// [`ModelError::Lacks`] for a model that predicts nothing.
    pub fn into_predictor(self) -> Result<Box<dyn Predictor>, ModelError> {
        match self {
            Self::Predictor(model) => Ok(model),
            other => Err(other.lacks(NO_PREDICTOR)),
        }
    }

    /// Names of the traits that the model has.
    pub fn traits(&self) -> Vec<&'static str> {
        match self {
            Self::Generator(model) if model.autoencoder().is_some() => {
                vec!["`Trainable`", "`Generator`", "`Autoencoder`"]
            }
            Self::Generator(_) => vec!["`Trainable`", "`Generator`"],
            Self::Predictor(_) => vec!["`Trainable`", "`Predictor`"],
            Self::Trainable(_) => vec!["`Trainable`"],
        }
    }

    fn lacks(&self, lacks: &'static str) -> ModelError {
        ModelError::Lacks { model: self.trainable().kind(), lacks, has: self.traits() }
    }
}
