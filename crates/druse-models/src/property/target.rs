//! What predictors share: the property, its scale over the training set, and the loss.

use std::collections::BTreeSet;

use burn::tensor::Tensor;
use druse_crystal::{Element, Structure};
use druse_nn::memory::to_host;
use druse_nn::ops::matrix;
use serde_json::{Value, json};

use crate::standardizer::Standardizer;
use crate::targets::{fit_property, property_of};
use crate::{LossTerm, ModelError};

/// A property with its scale.
pub(crate) struct Target {
    name: String,
    /// Of the property over the training set.
    standardizer: Option<Standardizer>,
    /// Elements of the training set; none where that is not known.
    elements: BTreeSet<Element>,
}

/// Standardized values of some crystals.
pub(crate) struct TargetValues {
    numbers: Vec<f32>,
    /// Of the standardized property, in its unit.
    scale: f64,
}

impl Target {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), standardizer: None, elements: BTreeSet::new() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    fn standardizer(&self) -> Result<&Standardizer, ModelError> {
        let missing = || ModelError::Config("the predictor has not been trained: it knows no scale".into());
        self.standardizer.as_ref().ok_or_else(missing)
    }

    pub fn fit(&mut self, training: &[&Structure]) -> Result<(), ModelError> {
        self.standardizer = Some(fit_property(&self.name, training)?);
        self.elements = training.iter().flat_map(|s| s.species.iter().copied()).collect();
        Ok(())
    }

    /// Elements of a structure that the training set does not have.
    pub fn unseen(&self, structure: &Structure) -> BTreeSet<Element> {
        let unseen = |element: &Element| !self.elements.is_empty() && !self.elements.contains(element);
        structure.species.iter().copied().filter(unseen).collect()
    }

    /// Scale and elements, to be kept.
    pub fn statistics(&self) -> Value {
        match self.elements.is_empty() {
            true => json!({ "property": self.standardizer }),
            false => json!({ "property": self.standardizer, "elements": self.elements }),
        }
    }

    /// Takes what [`Target::statistics`] gave.
    pub fn restore_statistics(&mut self, statistics: &Value) -> Result<(), ModelError> {
        let wrong = |e: String| ModelError::Config(format!("statistics of a property predictor: {e}"));
        let value = statistics.get("property").ok_or_else(|| wrong("no `property`".into()))?;
        let value: Option<Standardizer> =
            serde_json::from_value(value.clone()).map_err(|e| wrong(e.to_string()))?;
        // Models of earlier versions, and those of others, do not tell.
        let elements = statistics.get("elements").cloned().unwrap_or_else(|| json!([]));
        let elements = serde_json::from_value(elements).map_err(|e| wrong(e.to_string()))?;
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
        (self.standardizer, self.elements) = (value, elements);
        Ok(())
    }

    /// The standardized values that structures carry.
    pub fn values(&self, structures: &[&Structure]) -> Result<TargetValues, ModelError> {
        let standardizer = self.standardizer()?;
        let numbers = structures
            .iter()
            .map(|s| Ok(standardizer.normalize(0, property_of(s, &self.name)?) as f32))
            .collect::<Result<_, ModelError>>()?;
        Ok(TargetValues { numbers, scale: standardizer.std[0] })
    }

    /// Standardized predictions (B, 1) in the unit of the property; `compute` is not called without a scale.
    pub fn restore(
        &self,
        compute: impl FnOnce() -> Result<Tensor<2>, ModelError>,
    ) -> Result<Vec<f64>, ModelError> {
        let standardizer = self.standardizer()?;
        let rows = compute()?;
        let count = rows.dims()[0];
        let values = to_host(rows.reshape([count]))?;
        Ok(values.into_iter().map(|x| standardizer.restore(0, f64::from(x))).collect())
    }
}

impl TargetValues {
    /// Mean squared error of the standardized property (B, 1), which is minimized, and mean absolute error in the unit of the
    /// property.
    pub fn loss(&self, predicted: Tensor<2>) -> Vec<LossTerm> {
        let device = predicted.device();
        let difference = predicted - matrix(self.numbers.clone(), 1, &device);
        let count = self.numbers.len() as f64;
        let absolute = difference.clone().detach().abs().sum().mul_scalar(self.scale);
        vec![
            LossTerm { name: "mse", sum: (difference.clone() * difference).sum(), count, weight: 1.0 },
            LossTerm { name: "mae", sum: absolute, count, weight: 0.0 },
        ]
    }
}
