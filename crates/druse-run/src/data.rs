//! The structures a model is trained on.

use druse_crystal::{Element, Structure};
use druse_data::{DataError, Dataset, Filter, LoadOptions, Skipped, Split, SplitOptions, Splits};

use crate::RunError;
use crate::config::{DataConfig, Violation};

/// Structures with their identifiers.
#[derive(Debug, Clone, Default)]
pub struct TrainingSet {
    /// The structures, with the columns of the data set as their properties.
    pub structures: Vec<Structure>,
    /// One identifier a structure, for messages.
    pub ids: Vec<String>,
}

impl TrainingSet {
    /// Number of structures.
    pub fn len(&self) -> usize {
        self.structures.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.structures.is_empty()
    }
}

impl From<Dataset> for TrainingSet {
    fn from(dataset: Dataset) -> Self {
        let (ids, structures) =
            dataset.entries.into_iter().map(|e| (e.id.clone(), e.into_structure())).unzip();
        Self { structures, ids }
    }
}

/// Training and validation structures.
#[derive(Debug, Clone, Default)]
pub struct TrainingData {
    /// What the gradient is computed on.
    pub train: TrainingSet,
    /// What the model is judged on; may be empty.
    pub validation: TrainingSet,
    /// Content hash of both.
    pub hash: String,
    /// Structures of the source that could not be used.
    pub skipped: Vec<Skipped>,
    /// Remarks of the readers.
    pub notes: Vec<String>,
}

impl DataConfig {
    /// How single data sets are read.
    ///
    /// # Errors
    /// [`RunError`] for an unknown element or a filter that does not parse.
    pub fn load_options(&self) -> Result<LoadOptions, RunError> {
        let mut filters: Vec<Filter> = self.max_atoms.map(Filter::MaxAtoms).into_iter().collect();
        if !self.elements.is_empty() {
            let elements = self.elements.iter().map(|s| {
                Element::from_symbol(s).map_err(|e| Violation {
                    key: "data.elements".into(),
                    value: s.clone(),
                    expected: e.to_string(),
                })
            });
            filters.push(Filter::AllowedElements(elements.collect::<Result<_, _>>()?));
        }
        for text in &self.filters {
            filters.push(text.parse().map_err(DataError::Filter)?);
        }
        let (niggli, max_skipped_share) = (self.niggli, self.max_skipped_share);
        Ok(LoadOptions { niggli, max_skipped_share, filters, ..LoadOptions::default() })
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
            let (held_out, kept) = std::mem::take(&mut train.entries)
                .into_iter()
                .partition(|entry| division.split_of(&entry.id) == Split::Val);
            train.entries = kept;
            validation = Some(Dataset::new(format!("{} (held out)", train.name), held_out));
        }
        if let Some(limit) = self.limit {
            train.entries.truncate(limit);
        }
        let mut hash = blake3::Hasher::new();
        let mut skipped = Vec::new();
        let mut notes = Vec::new();
        for dataset in std::iter::once(&mut train).chain(&mut validation) {
            hash.update(Dataset::new("", dataset.entries.clone()).content_hash.as_bytes());
            skipped.append(&mut dataset.skipped);
            notes.extend(dataset.notes.drain(..).map(|note| format!("{}: {note}", dataset.name)));
        }
        Ok(TrainingData {
            train: train.into(),
            validation: validation.map(TrainingSet::from).unwrap_or_default(),
            hash: hash.finalize().to_hex().to_string(),
            skipped,
            notes,
        })
    }
}
