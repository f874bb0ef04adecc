//! The structures a model is trained on.

use std::borrow::Cow;

use druse_data::{DataError, Dataset, Filter, LoadOptions, Skipped, Split, SplitOptions, Splits};

use crate::RunError;
use crate::config::{DataConfig, Violation};

/// Training and validation structures.
#[derive(Debug, Clone, Default)]
pub struct TrainingData {
    /// What the gradient is computed on.
    pub train: Dataset,
    /// What the model is judged on; may be empty.
    pub validation: Dataset,
    /// Content hash of both.
    pub hash: String,
    /// Structures of the source that could not be used.
    pub skipped: Vec<Skipped>,
    /// Warnings of the readers.
    pub warnings: Vec<String>,
}

impl DataConfig {
    /// How single data sets are read.
    ///
    /// # Errors
    /// [`RunError`] for an unknown element or a filter that does not parse.
    pub fn load_options(&self) -> Result<LoadOptions, RunError> {
        let mut filters: Vec<Filter> = self.max_atoms.map(Filter::MaxAtoms).into_iter().collect();
        if !self.elements.is_empty() {
            let allowed = Filter::allowed_elements(&self.elements).map_err(|e| Violation {
                key: "data.elements".into(),
                value: self.elements.join(", "),
                expected: e.to_string(),
            })?;
            filters.push(allowed);
        }
        for text in &self.filters {
            filters.push(text.parse().map_err(DataError::Filter)?);
        }
        let (niggli, max_skipped_share, strict) = (self.niggli, self.max_skipped_share, self.strict);
        Ok(LoadOptions { niggli, max_skipped_share, strict, filters, ..LoadOptions::default() })
    }

    /// Loads training and validation structures.
    ///
    /// # Errors
    /// [`RunError::Data`] naming file and row, or what is missing.
    pub fn load(&self) -> Result<TrainingData, RunError> {
        let options = self.load_options()?;
        let share = self.validation_share;
        let division = SplitOptions { fractions: [1.0 - share, share, 0.0], ..SplitOptions::default() };
        let splits = Splits::open_with(&self.path, division)?;
        let mut train = splits.load(Split::Train, &options)?;
        let mut validation = match splits.has(Split::Val) && (share > 0.0 || !splits.is_hashed()) {
            true => match splits.load(Split::Val, &options) {
                Ok(dataset) => Some(dataset),
                // A small data set may leave the validation part of a division without a structure.
                Err(DataError::Empty { .. } | DataError::NothingLeft { .. }) if splits.is_hashed() => None,
                Err(e) => return Err(e.into()),
            },
            false => None,
        };
        if validation.is_none() && !splits.is_hashed() && share > 0.0 {
            let name = format!("{} (held out)", train.name);
            validation = Some(train.take(name, |entry| division.split_of(entry) == Split::Val));
        }
        if let Some(limit) = self.limit {
            train.truncate(limit);
        }
        let mut hash = blake3::Hasher::new();
        let mut skipped = Vec::new();
        let mut warnings = Vec::new();
        for dataset in std::iter::once(&mut train).chain(&mut validation) {
            // Models learn cells as lengths and angles, or their logarithm, which do not tell the hand.
            for entry in &mut dataset.entries {
                if let Cow::Owned(turned) = entry.structure.right_handed() {
                    entry.structure = turned;
                }
            }
            hash.update(dataset.content_hash.as_bytes());
            skipped.append(&mut dataset.skipped);
            warnings.extend(dataset.warnings.drain(..).map(|text| format!("{}: {text}", dataset.name)));
        }
        Ok(TrainingData {
            train,
            validation: validation.unwrap_or_default(),
            hash: hash.finalize().to_hex().to_string(),
            skipped,
            warnings,
        })
    }
}
