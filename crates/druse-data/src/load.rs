//! From a path to a [`Dataset`]: cache or import, share of skipped structures, filters.

use std::env;
use std::path::{Path, PathBuf};

use druse_crystal::files::{Action, FileError};

use crate::crystens::Decoding;
use crate::source::Source;
use crate::store::{self, Beside, Import, StoreError, Writer};
use crate::{DataError, Dataset, Filter, Skipped};

/// Where packed data sets are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Cache {
    /// `$DRUSE_CACHE`, else `$XDG_CACHE_HOME/druse`, else `~/.cache/druse`.
    #[default]
    Default,
    /// This folder; it is created.
    Folder(PathBuf),
    /// No cache: every load reads the source.
    Off,
}

impl Cache {
    /// The folder, or `None` when there is no cache.
    pub fn folder(&self) -> Option<PathBuf> {
        let variable = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        match self {
            Self::Off => None,
            Self::Folder(folder) => Some(folder.clone()),
            Self::Default => variable("DRUSE_CACHE")
                .or_else(|| variable("XDG_CACHE_HOME").map(|d| d.join("druse")))
                .or_else(|| variable("HOME").map(|d| d.join(".cache").join("druse")))
                .or_else(|| variable("LOCALAPPDATA").map(|d| d.join("druse").join("cache"))),
        }
    }
}

/// How a data set is loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadOptions {
    /// Whether each cell is Niggli-reduced (default `true`).
    pub niggli: bool,
    /// Largest share of the source's structures, 0 to 1, that may be skipped (default 0.01).
    pub max_skipped_share: f64,
    /// Whether structures that may be others than their authors meant are skipped: a guess of the reader, or a
    /// contradiction within the file ([`WarningKind::is_doubt`](druse_crystal::formats::WarningKind::is_doubt)); default
    /// `false`.
    pub strict: bool,
    /// How images ([`crystens`](crate::crystens)) become structures, where the source is a file of them.
    pub decoding: Decoding,
    /// Conditions that every structure must meet; applied after the cache, which holds all structures.
    pub filters: Vec<Filter>,
    /// Where the packed data set is kept.
    pub cache: Cache,
    /// Worker threads; `None` for rayon's global pool.
    pub threads: Option<usize>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            niggli: true,
            max_skipped_share: 0.01,
            strict: false,
            decoding: Decoding::default(),
            filters: Vec::new(),
            cache: Cache::Default,
            threads: None,
        }
    }
}

impl LoadOptions {
    pub(crate) fn check(&self) -> Result<(), DataError> {
        match (0.0..=1.0).contains(&self.max_skipped_share) {
            true => Ok(()),
            false => Err(DataError::SkippedShare { share: self.max_skipped_share }),
        }
    }
}

/// Loads a file in any [`SetFormat`](crate::SetFormat) (also gzip-compressed) or a folder of structure files.
///
/// A structure that cannot be read is skipped and listed in [`Dataset::skipped`]. The order of entries is that of
/// the source (of file names in a folder) and does not depend on the number of threads.
///
/// A damaged or outdated cache file is replaced; a cache folder that cannot be written costs a warning
/// (through `tracing`) and nothing else.
///
/// # Errors
/// [`DataError`]: the source cannot be read, is not a data set, is empty, has more than
/// [`LoadOptions::max_skipped_share`] of unusable structures, or the filters do not fit.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Dataset, DataError> {
    options.check()?;
    let source = Source::open(path)?;
    let (niggli, strict, decoding) = (options.niggli, options.strict, options.decoding);
    let file =
        options.cache.folder().map(|f| f.join(format!("{}.druse", source.key(niggli, strict, decoding))));
    let (import, content_hash) = match file.as_deref().and_then(read_cache) {
        Some(cached) => cached,
        None => {
            let import = in_pool(options.threads, || source.import(niggli, strict, decoding))??;
            let hash = file.as_deref().and_then(|file| keep(file, &import));
            let hash = hash.unwrap_or_else(|| store::content_hash(&import.entries));
            (import, hash)
        }
    };
    let dataset = finish(path, import, content_hash, options)?;
    dataset.filter(&options.filters)
}

fn read_cache(file: &Path) -> Option<(Import, String)> {
    match store::read(file) {
        Ok(found) => Some(found),
        Err(StoreError::File(e)) if e.is_not_found() => None,
        Err(e) => {
            tracing::warn!("the data cache `{}` is not used: {e}; it is built anew", file.display());
            None
        }
    }
}

/// Writes an import to the cache; gives its content hash, unless that fails.
fn keep(file: &Path, import: &Import) -> Option<String> {
    let mut writer = Writer::new(None);
    let pushed = import.entries.iter().try_for_each(|entry| writer.push(entry));
    let pushed = pushed.map_err(|e| StoreError::from(FileError::wrap(Action::Write, &env::temp_dir())(e)));
    pushed
        .and_then(|()| writer.write(file, &import.beside))
        .inspect_err(|e| tracing::warn!("the data cache is not written: {e}; going on without it"))
        .ok()
}

/// Runs `work` in a pool of that many threads.
pub(crate) fn in_pool<T: Send>(
    threads: Option<usize>,
    work: impl FnOnce() -> T + Send,
) -> Result<T, DataError> {
    match threads {
        None => Ok(work()),
        Some(threads) => rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map(|pool| pool.install(work))
            .map_err(|e| DataError::Threads { threads, reason: e.to_string() }),
    }
}

fn finish(
    path: &Path,
    import: Import,
    content_hash: String,
    options: &LoadOptions,
) -> Result<Dataset, DataError> {
    let Import { entries, beside: Beside { mut skipped, warnings, .. } } = import;
    skipped.iter_mut().for_each(|skipped| absolute(path, skipped));
    check_skipped(path, &skipped, entries.len(), options.max_skipped_share)?;
    Ok(Dataset { name: name_of(path), entries, content_hash, skipped, warnings })
}

/// Names the file of a skipped row, which an import names relative to its source.
pub(crate) fn absolute(path: &Path, skipped: &mut Skipped) {
    skipped.file = match skipped.file.as_os_str().is_empty() {
        true => path.to_owned(),
        false => path.join(&skipped.file),
    };
}

/// Refuses a source without structures, or with more than the allowed share of unusable ones.
pub(crate) fn check_skipped(
    path: &Path,
    skipped: &[Skipped],
    entries: usize,
    allowed: f64,
) -> Result<(), DataError> {
    let total = entries + skipped.len();
    let path = path.to_owned();
    if total == 0 {
        return Err(DataError::Empty { path, reason: "it holds no structure".into() });
    }
    if skipped.len() as f64 > allowed * total as f64 {
        return Err(DataError::TooManySkipped { path, skipped: skipped.to_vec(), total, allowed });
    }
    match (entries, skipped.first()) {
        (0, Some(first)) => {
            let reason = format!("none of its {total} structures can be used; the first: {first}");
            Err(DataError::Empty { path, reason })
        }
        _ => Ok(()),
    }
}

/// `mp_20/train` for `…/mp_20/train.csv.gz`: the file's stem below its folder's name.
pub(crate) fn name_of(path: &Path) -> String {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = |p: &Path| p.file_name().map(|n| n.to_string_lossy().into_owned());
    let Some(last) = name(&full) else { return full.display().to_string() };
    if full.is_dir() {
        return last;
    }
    let stem = crate::source::stem(&last).to_owned();
    match full.parent().and_then(name) {
        Some(folder) => format!("{folder}/{stem}"),
        None => stem,
    }
}
