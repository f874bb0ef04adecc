//! A model of any kind, by what it can do.

use crate::{Generator, ModelError, Predictor, Trainable};

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
    pub fn into_generator(self) -> Result<Box<dyn Generator>, ModelError> {
        match self {
            Self::Generator(model) => Ok(model),
            other => Err(other.lacks("does not generate structures (no `Generator`)")),
        }
    }

    /// The model as a predictor.
    ///
    /// # Errors
    /// [`ModelError::Lacks`] for a model that predicts nothing.
    pub fn into_predictor(self) -> Result<Box<dyn Predictor>, ModelError> {
        match self {
            Self::Predictor(model) => Ok(model),
            other => Err(other.lacks("does not predict properties (no `Predictor`)")),
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
