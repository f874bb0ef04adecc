//! A data set in its training, validation and test parts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use druse_crystal::files;

use crate::formats::SetFormat;
use crate::load::name_of;
use crate::{DataError, Dataset, LoadOptions, SetReader, Split, SplitOptions, load, source};

/// Refuses shares that are none.
fn check(options: SplitOptions) -> Result<(), DataError> {
    let [train, val, test] = options.fractions;
    let fine = options.fractions.iter().all(|f| f.is_finite() && *f >= 0.0) && train + val + test > 0.0;
    if fine { Ok(()) } else { Err(DataError::SplitFractions { train, val, test }) }
}

/// The splits of a data set: files (or folders) called train, val and test, or a division by hash.
#[derive(Debug, Clone, PartialEq)]
pub struct Splits {
    root: PathBuf,
    layout: Layout,
}

#[derive(Debug, Clone, PartialEq)]
enum Layout {
    Files(BTreeMap<Split, PathBuf>),
    Hashed(SplitOptions),
}

impl Splits {
    /// Opens a folder with `train`, `val` (`valid`, `validation`, `dev`) and `test` files or folders in any format
    /// that [`load`] reads. Any other file or folder is one data set, divided with the default [`SplitOptions`].
    ///
    /// # Errors
    /// As [`Splits::open_with`].
    pub fn open(path: &Path) -> Result<Self, DataError> {
        Self::open_with(path, SplitOptions::default())
    }

    /// As [`Splits::open`], with the division to use for a data set without splits.
    ///
    /// # Errors
    /// [`DataError`] when the path cannot be read, two files claim one split, or the fractions are not usable.
    pub fn open_with(path: &Path, options: SplitOptions) -> Result<Self, DataError> {
        check(options)?;
        let root = path.to_owned();
        let mut found = BTreeMap::new();
        if files::is_dir(path)? {
            for item in files::list(path)? {
                let file = item.path();
                let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                let Some(split) = Split::from_stem(source::stem(&name)) else { continue };
                if !file.is_dir() && SetFormat::from_path(&file).is_none() {
                    continue;
                }
                if let Some(other) = found.insert(split, file.clone()) {
                    let (first, second) = if other < file { (other, file) } else { (file, other) };
                    return Err(DataError::AmbiguousSplit { split, first, second });
                }
            }
        }
        let layout = if found.is_empty() { Layout::Hashed(options) } else { Layout::Files(found) };
        Ok(Self { root, layout })
    }

    /// Where the splits are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the splits come from a division by hash instead of files.
    pub fn is_hashed(&self) -> bool {
        matches!(self.layout, Layout::Hashed(_))
    }

    /// The splits that there are.
    pub fn available(&self) -> Vec<Split> {
        match &self.layout {
            Layout::Files(files) => files.keys().copied().collect(),
            Layout::Hashed(options) => Split::ALL
                .into_iter()
                .zip(options.fractions)
                .filter(|(_, f)| *f > 0.0)
                .map(|(s, _)| s)
                .collect(),
        }
    }

    /// Whether this split is there.
    pub fn has(&self, split: Split) -> bool {
        self.available().contains(&split)
    }

    /// The file or folder of a split; `None` when it is not there or the division is by hash.
    pub fn path(&self, split: Split) -> Option<&Path> {
        match &self.layout {
            Layout::Files(files) => files.get(&split).map(PathBuf::as_path),
            Layout::Hashed(_) => None,
        }
    }

    /// Short name of the data set: that of its folder or file.
    pub fn name(&self) -> String {
        name_of(&self.root)
    }

    /// Loads every split that there is.
    ///
    /// # Errors
    /// As [`Splits::load`].
    pub fn load_all(&self, options: &LoadOptions) -> Result<BTreeMap<Split, Dataset>, DataError> {
        self.available().into_iter().map(|split| Ok((split, self.load(split, options)?))).collect()
    }

    /// Opens every split that there is, to be read block by block.
    ///
    /// # Errors
    /// As [`SetReader::open`].
    pub fn open_all(&self, options: &LoadOptions) -> Result<BTreeMap<Split, SetReader>, DataError> {
        let open = |split: Split| {
            let mut reader = SetReader::open(self.path(split).unwrap_or(&self.root), options)?;
            if let Layout::Hashed(division) = self.layout {
                reader.part(division, split);
            }
            Ok((split, reader))
        };
        self.available().into_iter().map(open).collect()
    }

    /// Loads one split.
    ///
    /// # Errors
    /// [`DataError::MissingSplit`] when it is not there, [`DataError::Empty`] when the division leaves it empty,
    /// else as [`load`].
    pub fn load(&self, split: Split, options: &LoadOptions) -> Result<Dataset, DataError> {
        if !self.has(split) {
            let found = self.available().iter().map(|s| s.name()).collect::<Vec<_>>().join(", ");
            return Err(DataError::MissingSplit { path: self.root.clone(), split, found });
        }
        match &self.layout {
            Layout::Files(files) => load(&files[&split], options),
            Layout::Hashed(division) => {
                let mut dataset = load(&self.root, options)?;
                let total = dataset.len();
                dataset.retain(|e| division.split_of(e) == split);
                if dataset.is_empty() {
                    let reason =
                        format!("its division leaves none of {total} structures for the {split} split");
                    return Err(DataError::Empty { path: self.root.clone(), reason });
                }
                dataset.name = format!("{}/{split}", name_of(&self.root));
                Ok(dataset)
            }
        }
    }
}
