//! Download of named public data sets, verified by hash, resumable, or copied from a local mirror.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use druse_crystal::files::{self, Action, FileError};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use ureq::Agent;
use ureq::http::{StatusCode, header};

use crate::Benchmark;

/// Commit of the repository that curates the sets; its files never change.
const CDVAE: &str =
    "https://raw.githubusercontent.com/txie-93/cdvae/f857f598d6f6cca5dc1ea0582d228f12dcc2c2ea/data";

/// What a set is, and the git blob ids of train, val and test.
const BUILT_IN: [(Benchmark, &str, [&str; 3]); 3] = [
    (
        Benchmark::Mp20,
        "Materials Project, up to 20 atoms a cell: 45,231 inorganic crystals (Jain et al. 2013, CC BY 4.0)",
        [
            "b1c9d498565ac2fd8d075a51ff2ef5e51ba6c21f",
            "7efe4d7ebeb4f460ceaad35e5326c42111d9c9a1",
            "5dc643041df53f5ce4970a79930ad262b4f07acd",
        ],
    ),
    (
        Benchmark::Perov5,
        "ABX3 perovskites, 5 atoms a cell: 18,928 crystals (Castelli et al. 2012)",
        [
            "0769074b5d51d293b765c4371b8f55c468c9c9f2",
            "4a2c8dde98347dd0e01fa83dcf3982c2abe98f9f",
            "d3c5d5af4b27a2a139149f2bb73c8a3dba9d8ac1",
        ],
    ),
    (
        Benchmark::Carbon24,
        "carbon allotropes, 6 to 24 atoms a cell: 10,153 crystals (Pickard 2020)",
        [
            "5e7ae970fbad8ddc46b6963e8cd6e425f11783a6",
            "b3e29b927883642426ca1d9632d00359b412742b",
            "9beca843fde489de1fe288b32f9e3ff710d42803",
        ],
    ),
];

/// The data sets that can be fetched by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The sets.
    pub sets: Vec<NamedSet>,
}

/// One named data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedSet {
    /// Name on the command line.
    pub name: String,
    /// What it is, with source and license.
    pub about: String,
    /// Its files.
    pub files: Vec<RemoteFile>,
}

/// One file of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteFile {
    /// Where it goes, relative to the output folder, with `/` between folders: `mp_20/train.csv`.
    pub path: String,
    /// Where it comes from.
    pub url: String,
    /// Git blob id (hex): SHA-1 over `blob <byte length>\0` and the content.
    pub git_blob: String,
}

impl Manifest {
    /// The sets this program knows: `mp-20`, `perov-5`, `carbon-24`, as curated with the CDVAE paper.
    pub fn built_in() -> Self {
        let set = |&(benchmark, about, blobs): &(Benchmark, &str, [&str; 3])| NamedSet {
            name: benchmark.name().to_owned(),
            about: about.to_owned(),
            files: ["train", "val", "test"]
                .iter()
                .zip(blobs)
                .map(|(split, blob)| RemoteFile {
                    path: format!("{}/{split}.csv", benchmark.folder()),
                    url: format!("{CDVAE}/{}/{split}.csv", benchmark.folder()),
                    git_blob: blob.to_owned(),
                })
                .collect(),
        };
        Self { sets: BUILT_IN.iter().map(set).collect() }
    }

    /// The set of this name; `mp_20` means `mp-20`, and case does not matter.
    ///
    /// # Errors
    /// [`FetchError::UnknownSet`].
    pub fn set(&self, name: &str) -> Result<&NamedSet, FetchError> {
        let plain = |n: &str| n.to_ascii_lowercase().replace('_', "-");
        self.sets.iter().find(|s| plain(&s.name) == plain(name)).ok_or_else(|| FetchError::UnknownSet {
            name: name.to_owned(),
            known: self.sets.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }
}

/// How a set is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchOptions {
    /// Folder to copy from instead of the network; a file is looked for at `DIR/<path>` and `DIR/data/<path>`.
    pub from: Option<PathBuf>,
    /// How often a broken connection is taken up again for one file (default 4).
    pub retries: u32,
    /// Pause before the first retry, doubled for each further one (default 1 s).
    pub pause: Duration,
    /// Longest wait for the server to connect, answer or send the next bytes (default 30 s).
    pub timeout: Duration,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self { from: None, retries: 4, pause: Duration::from_secs(1), timeout: Duration::from_secs(30) }
    }
}

/// How far a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file, as [`RemoteFile::path`].
    pub path: &'a str,
    /// Number of the file, from 0.
    pub index: usize,
    /// Files in the set.
    pub files: usize,
    /// Bytes of it on disk.
    pub bytes: u64,
    /// Bytes it will have, where the server or mirror tells.
    pub total: Option<u64>,
}

/// What was done for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileStatus {
    /// It was there, with the right hash.
    Present,
    /// It was copied from the mirror.
    Copied,
    /// It was downloaded, from this byte on.
    Downloaded {
        /// Bytes that an earlier, interrupted download had left.
        resumed_at: u64,
    },
}

/// A set on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fetched {
    /// The files with what was done for each.
    pub files: Vec<(PathBuf, FileStatus)>,
}

/// Why a set could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No set has this name.
    #[error("unknown data set `{name}`: expected one of {known}")]
    UnknownSet {
        /// The name.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// A path of the manifest leads out of the output folder.
    #[error("the manifest's path `{path}` is not a plain relative path")]
    BadPath {
        /// The path.
        path: String,
    },
    /// A file of that name with other content is in the way.
    #[error(
        "`{}` is there with other content (git blob {found}, expected {expected}); remove it or choose another folder",
        path.display()
    )]
    InTheWay {
        /// The file.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The manifest's hash.
        expected: String,
    },
    /// The mirror lacks the file.
    #[error("the mirror has no `{path}`: looked for {}", tried.iter().map(|p| format!("`{}`", p.display())).collect::<Vec<_>>().join(" and "))]
    NotInMirror {
        /// The file, as the manifest names it.
        path: String,
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// The content is not what the manifest promises.
    #[error("`{source_name}` has git blob id {found}, expected {expected}: it is damaged or another version")]
    Hash {
        /// URL or file it came from.
        source_name: String,
        /// The hash of what came.
        found: String,
        /// The manifest's hash.
        expected: String,
    },
    /// The server refuses.
    #[error("the server answered {status} to {url}")]
    Status {
        /// The address.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// The connection failed, also after the retries.
    #[error(
        "cannot download {url}: {reason}; {kept} bytes are kept, the same command goes on from there (offline, copy the files by other means and use a local mirror folder)"
    )]
    Network {
        /// The address.
        url: String,
        /// What failed.
        reason: String,
        /// Bytes kept for the next attempt.
        kept: u64,
    },
    /// A local file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Fetches the set `name` into `out`: files that are there and right are left alone, others come from the mirror
/// or the network by way of `<file>.part`, which a later call takes up again, and get their name once their hash is
/// right. `progress` is called at the start of every file and after every block.
///
/// # Errors
/// [`FetchError`]. Files that are complete stay, as does the part of an interrupted one.
pub fn fetch(
    manifest: &Manifest,
    name: &str,
    out: &Path,
    options: &FetchOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Fetched, FetchError> {
    let set = manifest.set(name)?;
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(options.timeout))
        .timeout_recv_response(Some(options.timeout))
        .timeout_per_read(Some(options.timeout))
        .build()
        .into();
    let mut done = Vec::with_capacity(set.files.len());
    for (index, file) in set.files.iter().enumerate() {
        let relative = Path::new(&file.path);
        if !relative.components().all(|c| matches!(c, Component::Normal(_))) || file.path.is_empty() {
            return Err(FetchError::BadPath { path: file.path.clone() });
        }
        let target = out.join(relative);
        let mut report = |bytes, total| {
            progress(Progress { path: &file.path, index, files: set.files.len(), bytes, total });
        };
        let status = if target.exists() {
            let found = git_blob_id(&target)?;
            if found != file.git_blob {
                return Err(FetchError::InTheWay { path: target, found, expected: file.git_blob.clone() });
            }
            let length = files::size(&target)?;
            report(length, Some(length));
            FileStatus::Present
        } else {
            let mut part = target.clone().into_os_string();
            part.push(".part");
            let part = PathBuf::from(part);
            let folder = target.parent().unwrap_or(out);
            files::create_dir_all(folder)?;
            let status = match &options.from {
                Some(mirror) => copy(mirror, file, &part, &mut report)?,
                None => download(&agent, file, &part, options, &mut report)?,
            };
            files::rename(&part, &target)?;
            status
        };
        done.push((target, status));
    }
    Ok(Fetched { files: done })
}

/// Git's name of a file's content: SHA-1 (hex) over `blob <byte length>\0` and the content.
///
/// # Errors
/// [`FileError`] when the file cannot be read.
pub fn git_blob_id(path: &Path) -> Result<String, FileError> {
    let mut file = files::open(path)?;
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", files::size(path)?));
    let mut block = vec![0; 1 << 16];
    loop {
        match file.read(&mut block).map_err(FileError::wrap(Action::Read, path))? {
            0 => break,
            n => hasher.update(&block[..n]),
        }
    }
    Ok(hasher.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

type Report<'a> = dyn FnMut(u64, Option<u64>) + 'a;

fn copy(
    mirror: &Path,
    file: &RemoteFile,
    part: &Path,
    report: &mut Report<'_>,
) -> Result<FileStatus, FetchError> {
    let tried = [mirror.join(&file.path), mirror.join("data").join(&file.path)];
    let Some(source) = tried.iter().find(|p| p.is_file()) else {
        return Err(FetchError::NotInMirror { path: file.path.clone(), tried: tried.into() });
    };
    let mut from = files::open(source)?;
    let total = from.metadata().map(|m| m.len()).ok();
    let mut to = files::create(part)?;
    pump(&mut from, &mut to, 0, total, report).map_err(|e| match e {
        PumpError::From(e) => FileError::wrap(Action::Read, source)(e),
        PumpError::To(e) => FileError::wrap(Action::Write, part)(e),
    })?;
    to.sync_all().map_err(FileError::wrap(Action::Write, part))?;
    let found = git_blob_id(part)?;
    if found != file.git_blob {
        let _ = files::remove(part);
        let source_name = source.display().to_string();
        return Err(FetchError::Hash { source_name, found, expected: file.git_blob.clone() });
    }
    Ok(FileStatus::Copied)
}

fn download(
    agent: &Agent,
    file: &RemoteFile,
    part: &Path,
    options: &FetchOptions,
    report: &mut Report<'_>,
) -> Result<FileStatus, FetchError> {
    let kept = || part.metadata().map_or(0, |m| m.len());
    let mut resumed_at = kept();
    let mut failures = 0;
    loop {
        match attempt(agent, &file.url, part, report) {
            Ok(()) => {
                let found = git_blob_id(part)?;
                if found == file.git_blob {
                    return Ok(FileStatus::Downloaded { resumed_at });
                }
                files::remove(part)?;
                // What an earlier run had left may be the damaged half: once more from the beginning.
                if resumed_at == 0 {
                    let source_name = file.url.clone();
                    return Err(FetchError::Hash { source_name, found, expected: file.git_blob.clone() });
                }
                resumed_at = 0;
            }
            Err(Failure::Fatal(e)) => return Err(e),
            Err(Failure::Passing(reason)) => {
                if failures == options.retries {
                    return Err(FetchError::Network { url: file.url.clone(), reason, kept: kept() });
                }
                std::thread::sleep(options.pause * 2u32.saturating_pow(failures));
                failures += 1;
            }
        }
    }
}

/// Whether another attempt may help.
enum Failure {
    Passing(String),
    Fatal(FetchError),
}

/// One request, from the end of the part on.
fn attempt(agent: &Agent, url: &str, part: &Path, report: &mut Report<'_>) -> Result<(), Failure> {
    let refused = |e: FileError| Failure::Fatal(e.into());
    let fatal = |e: io::Error| refused(FileError::wrap(Action::Write, part)(e));
    let have = part.metadata().map_or(0, |m| m.len());
    report(have, None);
    // A compressed answer could not be resumed byte by byte.
    let mut request = agent.get(url).header(header::ACCEPT_ENCODING, "identity");
    if have > 0 {
        request = request.header(header::RANGE, format!("bytes={have}-"));
    }
    let response = request.call().map_err(|e| match e {
        ureq::Error::BadUri(reason) => {
            Failure::Fatal(FetchError::Network { url: url.to_owned(), reason, kept: have })
        }
        other => Failure::Passing(other.to_string()),
    })?;
    let status = response.status();
    let number = |name: header::HeaderName| {
        response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
    };
    let length: Option<u64> = number(header::CONTENT_LENGTH).and_then(|l| l.parse().ok());
    let (start, total) = match status {
        StatusCode::PARTIAL_CONTENT => {
            let range = number(header::CONTENT_RANGE).and_then(|r| content_range(&r));
            match range {
                Some((start, total)) if start == have => (have, total.or(length.map(|l| l + have))),
                _ => {
                    // A server that sends another part than asked for: begin anew.
                    files::create(part).map_err(refused)?;
                    return Err(Failure::Passing("the server sent another part of the file".into()));
                }
            }
        }
        StatusCode::OK => (0, length),
        // The part has all bytes, or too many: its hash tells which.
        StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => return Ok(()),
        s if s.is_server_error() || s == StatusCode::TOO_MANY_REQUESTS => {
            return Err(Failure::Passing(format!("the server answered {s}")));
        }
        s => return Err(Failure::Fatal(FetchError::Status { url: url.to_owned(), status: s.as_u16() })),
    };
    let mut to = files::append(part).map_err(refused)?;
    to.set_len(start).map_err(fatal)?;
    let mut from = response.into_body().into_reader();
    let written = pump(&mut from, &mut to, start, total, report).map_err(|e| match e {
        PumpError::From(e) => Failure::Passing(e.to_string()),
        PumpError::To(e) => fatal(e),
    })?;
    to.sync_all().map_err(fatal)?;
    match total {
        Some(total) if written < total => {
            Err(Failure::Passing(format!("the connection ended after {written} of {total} bytes")))
        }
        _ => Ok(()),
    }
}

/// Start and total of `bytes 5-9/10`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes")?.trim().split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}

enum PumpError {
    From(io::Error),
    To(io::Error),
}

/// Copies blocks and reports; gives the length of the file afterwards.
fn pump(
    from: &mut impl Read,
    to: &mut File,
    start: u64,
    total: Option<u64>,
    report: &mut Report<'_>,
) -> Result<u64, PumpError> {
    let mut bytes = start;
    let mut block = vec![0; 1 << 16];
    report(bytes, total);
    loop {
        match from.read(&mut block) {
            Ok(0) => return Ok(bytes),
            Ok(n) => {
                to.write_all(&block[..n]).map_err(PumpError::To)?;
                bytes += n as u64;
                report(bytes, total);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(PumpError::From(e)),
        }
    }
}
