//! From a path to a [`Dataset`]: cache or import, share of skipped structures, filters.

use std::env;
use std::path::{Path, PathBuf};

use crate::crystens::Decoding;
use crate::source::Source;
use crate::store::{self, Import, StoreError};
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
    if !(0.0..=1.0).contains(&options.max_skipped_share) {
        return Err(DataError::SkippedShare { share: options.max_skipped_share });
    }
    let source = Source::open(path)?;
    let (niggli, strict, decoding) = (options.niggli, options.strict, options.decoding);
    let file =
        options.cache.folder().map(|f| f.join(format!("{}.druse", source.key(niggli, strict, decoding))));
    let (import, content_hash) = match file.as_deref().and_then(read_cache) {
        Some(cached) => cached,
        None => {
            let import = in_pool(options.threads, || source.import(niggli, strict, decoding))??;
            let content = store::encode(&import.entries);
            if let Some(file) = &file
                && let Err(e) = store::write(file, &import, &content)
            {
                tracing::warn!("the data cache is not written: {e}; going on without it");
            }
            let hash = blake3::hash(&content).to_hex().to_string();
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
    let Import { entries, skipped, warnings } = import;
    let absolute = |s: Skipped| {
        let file = if s.file.as_os_str().is_empty() { path.to_owned() } else { path.join(&s.file) };
        Skipped { file, ..s }
    };
    let skipped: Vec<Skipped> = skipped.into_iter().map(absolute).collect();
    let total = entries.len() + skipped.len();
    if total == 0 {
        return Err(DataError::Empty { path: path.to_owned(), reason: "it holds no structure".into() });
    }
    let allowed = options.max_skipped_share;
    if skipped.len() as f64 > allowed * total as f64 {
        return Err(DataError::TooManySkipped { path: path.to_owned(), skipped, total, allowed });
    }
    if entries.is_empty() {
        let reason = format!("none of its {total} structures can be used; the first: {}", skipped[0]);
        return Err(DataError::Empty { path: path.to_owned(), reason });
    }
    Ok(Dataset { name: name_of(path), entries, content_hash, skipped, warnings })
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
