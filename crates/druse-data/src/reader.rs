//! A data set read block by block, for sets that are larger than memory.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use druse_crystal::files::{self as disk, Action, FileError};

use crate::formats::SetFormat;
use crate::load::{absolute, check_skipped, in_pool, name_of};
use crate::source::{Source, parts_of};
use crate::store::{Beside, Kinds, Store, StoreError, Writer};
use crate::{DataError, Dataset, Entry, Filter, FilterError, LoadOptions, Skipped, Split, SplitOptions};

/// Entries handed on at a time.
pub(crate) const BLOCK: usize = 4096;

/// Structures with identifiers that can be gone through several times: in memory, or in files.
pub trait Entries {
    /// Short name: `mp_20/train`.
    fn name(&self) -> &str;

    /// Hands on all entries in order, some thousands at a time.
    ///
    /// # Errors
    /// Those of `take`, and [`DataError`] when the entries cannot be read.
    fn for_each_block(
        &self,
        take: &mut dyn FnMut(&[Entry]) -> Result<(), DataError>,
    ) -> Result<(), DataError>;

    /// How they were read; by default nothing is known.
    fn how_read(&self) -> HowRead {
        HowRead::default()
    }

    /// Names of all properties, with the number of values of each kind.
    ///
    /// # Errors
    /// [`DataError`] when the entries cannot be read.
    fn properties(&self) -> Result<BTreeMap<String, Kinds>, DataError> {
        count_properties(self)
    }
}

/// The properties of entries, counted one by one.
fn count_properties(entries: &(impl Entries + ?Sized)) -> Result<BTreeMap<String, Kinds>, DataError> {
    let mut all: BTreeMap<String, Kinds> = BTreeMap::new();
    entries.for_each_block(&mut |block| {
        for (name, value) in block.iter().flat_map(|e| &e.structure.properties) {
            match all.get_mut(name) {
                Some(kinds) => kinds.count(value),
                None => all.entry(name.clone()).or_default().count(value),
            }
        }
        Ok(())
    })?;
    Ok(all)
}

/// How the entries of a set were read, for those who keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HowRead {
    /// Whether every cell is known to be Niggli-reduced.
    pub niggli: bool,
    /// Whether doubtful structures are known to be refused.
    pub strict: bool,
}

impl Dataset {
    /// All entries of a set, in memory.
    ///
    /// # Errors
    /// Those of reading the set.
    pub fn read(set: &dyn Entries) -> Result<Self, DataError> {
        let mut entries = Vec::new();
        set.for_each_block(&mut |block| {
            entries.extend_from_slice(block);
            Ok(())
        })?;
        Ok(Self::new(set.name(), entries))
    }
}

impl Entries for Dataset {
    fn name(&self) -> &str {
        &self.name
    }

    fn for_each_block(
        &self,
        take: &mut dyn FnMut(&[Entry]) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        self.entries.chunks(BLOCK).try_for_each(take)
    }
}

/// A data set that stays in packed stores and is read from there, in memory that does not grow with it.
///
/// What is no packed store as it is to be read becomes one first, in the cache or, without a cache, in a temporary file.
pub struct SetReader {
    name: String,
    path: PathBuf,
    parts: Vec<Store>,
    /// Structures of the source that could not be used.
    pub skipped: Vec<Skipped>,
    /// Warnings of the readers, each once with its count.
    pub warnings: Vec<String>,
    filters: Vec<Filter>,
    /// The part of a division by hash.
    division: Option<(SplitOptions, Split)>,
}

impl SetReader {
    /// Opens what [`load`](crate::load) loads, by the same options: a file in any [`SetFormat`], a folder of structure
    /// files, or a folder of packed stores, which count as one set in the order of their names.
    ///
    /// # Errors
    /// As [`load`](crate::load), but for what a filter leaves, which turns out when entries are read.
    pub fn open(path: &Path, options: &LoadOptions) -> Result<Self, DataError> {
        options.check()?;
        let mut reader = match stores(path)? {
            Some(files) => {
                let parts: Vec<Store> = files.iter().map(|file| open(file)).collect::<Result<_, _>>()?;
                let loose = |store: &&Store| options.strict && !store.beside().strict;
                if let Some(store) = parts.iter().find(loose) {
                    return Err(DataError::NotStrict { path: store.path().to_owned() });
                }
                // Stores are kept as they are to be read, unless cells are still to be reduced.
                match !options.niggli || parts.iter().all(|store| store.beside().niggli) {
                    true => Self::of_stores(path, parts),
                    false => Self::import(path, options)?,
                }
            }
            None => Self::import(path, options)?,
        };
        check_skipped(path, &reader.skipped, reader.total(), options.max_skipped_share)?;
        reader.check_filters(&options.filters)?;
        reader.filters.clone_from(&options.filters);
        Ok(reader)
    }

    /// Packed stores as one set, in this order.
    ///
    /// # Errors
    /// [`DataError`] when one cannot be read, or none has an entry.
    pub fn open_stores(name: impl Into<String>, paths: &[PathBuf]) -> Result<Self, DataError> {
        let parts = paths.iter().map(|path| open(path)).collect::<Result<_, _>>()?;
        let reader = Self { name: name.into(), ..Self::of_stores(Path::new(""), parts) };
        check_skipped(&reader.path, &reader.skipped, reader.total(), 1.0)?;
        Ok(reader)
    }

    fn of_stores(path: &Path, parts: Vec<Store>) -> Self {
        let (mut skipped, mut warnings) = (Vec::new(), Vec::new());
        for store in &parts {
            skipped.extend(store.beside().skipped.iter().cloned());
            warnings.extend(store.beside().warnings.iter().cloned());
        }
        let path = path.to_owned();
        Self { name: name_of(&path), path, parts, skipped, warnings, filters: Vec::new(), division: None }
    }

    /// Makes a store of the source, or finds the one that was made.
    fn import(path: &Path, options: &LoadOptions) -> Result<Self, DataError> {
        let source = Source::open(path)?;
        let (niggli, strict, decoding) = (options.niggli, options.strict, options.decoding);
        let kept =
            options.cache.folder().map(|f| f.join(format!("{}.druse", source.key(niggli, strict, decoding))));
        let known = kept.as_deref().and_then(|file| match Store::open(file) {
            Ok(store) => Some(store),
            Err(StoreError::File(e)) if e.is_not_found() => None,
            Err(e) => {
                tracing::warn!("the data cache `{}` {e}; it is built anew", file.display());
                None
            }
        });
        let store = match known {
            Some(store) => store,
            None => {
                let folder =
                    kept.as_deref().and_then(Path::parent).filter(|f| disk::create_dir_all(f).is_ok());
                let temporary = folder.map_or_else(env::temp_dir, Path::to_owned);
                let failed = |e| DataError::from(FileError::wrap(Action::Write, &temporary)(e));
                let (writer, beside) = in_pool(options.threads, || {
                    let mut writer = Writer::new(folder);
                    let beside = source.import_each(niggli, strict, decoding, &mut |entry| {
                        writer.push(&entry).map_err(failed)
                    })?;
                    Ok::<_, DataError>((writer, beside))
                })??;
                match folder.and(kept.as_deref()) {
                    Some(file) => {
                        writer.write(file, &beside).map_err(DataError::of_store(file))?;
                        open(file)?
                    }
                    None => {
                        let failed = DataError::of_store(path);
                        let file = writer.write_unnamed(&beside).map_err(failed)?;
                        Store::of_file(file, path).map_err(DataError::of_store(path))?
                    }
                }
            }
        };
        let mut reader = Self::of_stores(path, vec![store]);
        reader.skipped.iter_mut().for_each(|skipped| absolute(path, skipped));
        Ok(reader)
    }

    /// Keeps the entries of one part of a division by hash.
    pub fn part(&mut self, division: SplitOptions, split: Split) {
        self.division = Some((division, split));
        self.name = format!("{}/{split}", name_of(&self.path));
    }

    /// Whether every entry is handed on.
    pub(crate) fn is_whole(&self) -> bool {
        self.filters.is_empty() && self.division.is_none()
    }

    /// Number of entries before filters.
    pub fn total(&self) -> usize {
        self.parts.iter().map(Store::len).sum()
    }

    /// The content hash of the set, where it is that of one store.
    pub(crate) fn known_hash(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [store] if self.is_whole() => Some(store.content_hash()),
            _ => None,
        }
    }

    /// Whether an entry is handed on.
    ///
    /// # Errors
    /// [`FilterError::Incomparable`].
    fn keeps(&self, entry: &Entry) -> Result<bool, DataError> {
        let mut all = self.division.is_none_or(|(division, split)| division.split_of(entry) == split);
        for filter in &self.filters {
            filter.check(&entry.id, &entry.structure.properties)?;
            all &= filter.accepts(&entry.structure);
        }
        Ok(all)
    }

    /// Refuses filters of properties that no entry has.
    fn check_filters(&self, filters: &[Filter]) -> Result<(), DataError> {
        for filter in filters {
            let Filter::Property { name, .. } = filter else { continue };
            let columns = || self.parts.iter().flat_map(Store::columns).filter(|c| c.kinds.total() > 0);
            if !columns().any(|c| c.name == *name) {
                let mut available: Vec<String> = columns().map(|c| c.name.clone()).collect();
                available.sort_unstable();
                available.dedup();
                let (dataset, name) = (self.name.clone(), name.clone());
                return Err(FilterError::UnknownProperty { dataset, name, available }.into());
            }
        }
        Ok(())
    }

    /// As [`Entries::for_each_block`], and tells for every entry of the stores whether it was handed on.
    pub(crate) fn for_each_kept(
        &self,
        kept: &mut dyn FnMut(bool),
        take: &mut dyn FnMut(&[Entry]) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let mut some = false;
        for store in &self.parts {
            let failed = |e| DataError::of_store(store.path())(e);
            let mut reader = store.entries().map_err(failed)?;
            loop {
                let mut block = reader.block(BLOCK).map_err(failed)?;
                if block.is_empty() {
                    break;
                }
                if !self.is_whole() {
                    let mut keep =
                        block.iter().map(|e| self.keeps(e)).collect::<Result<Vec<_>, _>>()?.into_iter();
                    block.retain(|_| {
                        let keep = keep.next().unwrap_or(false);
                        kept(keep);
                        keep
                    });
                }
                some |= !block.is_empty();
                take(&block)?;
            }
        }
        match (some, &self.division) {
            (true, _) => Ok(()),
            (false, Some((_, split))) => {
                let total = self.total();
                let reason = format!("its division leaves none of {total} structures for the {split} split");
                Err(DataError::Empty { path: self.path.clone(), reason })
            }
            (false, None) => {
                let filters = self.filters.iter().map(|f| format!("`{f}`")).collect::<Vec<_>>().join(", ");
                Err(DataError::NothingLeft { name: self.name.clone(), total: self.total(), filters })
            }
        }
    }

    /// The stores with what they hold.
    pub(crate) fn parts(&self) -> &[Store] {
        &self.parts
    }
}

impl Entries for SetReader {
    fn name(&self) -> &str {
        &self.name
    }

    fn for_each_block(
        &self,
        take: &mut dyn FnMut(&[Entry]) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        self.for_each_kept(&mut |_| {}, take)
    }

    fn how_read(&self) -> HowRead {
        let all = |of: fn(&Beside) -> bool| self.parts.iter().all(|store| of(store.beside()));
        HowRead { niggli: all(|b| b.niggli), strict: all(|b| b.strict) }
    }

    fn properties(&self) -> Result<BTreeMap<String, Kinds>, DataError> {
        if !self.is_whole() {
            return count_properties(self);
        }
        let mut all: BTreeMap<String, Kinds> = BTreeMap::new();
        for column in self.parts.iter().flat_map(Store::columns) {
            all.entry(column.name.clone()).or_default().add(column.kinds);
        }
        Ok(all)
    }
}

fn open(path: &Path) -> Result<Store, DataError> {
    Store::open(path).map_err(DataError::of_store(path))
}

/// The packed stores that a path names: itself, or those of a folder that holds nothing else.
fn stores(path: &Path) -> Result<Option<Vec<PathBuf>>, DataError> {
    let is_store = |path: &Path| SetFormat::from_path(path) == Some(SetFormat::Store);
    if !disk::is_dir(path)? {
        return Ok(is_store(path).then(|| vec![path.to_owned()]));
    }
    Ok(parts_of(path)?.filter(|files| files.iter().all(|file| is_store(file))))
}
