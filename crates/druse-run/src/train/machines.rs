//! `machines.toml`: which machine has computed which part of a run, and how.

use burn::tensor::Device;
use druse_crystal::files;
use druse_nn::{Precision, arch, device};
use serde::{Deserialize, Serialize};

use crate::config::RunConfig;
use crate::{RunError, RunFolder};

/// The file, in the run's folder.
pub const MACHINES_FILE: &str = "machines.toml";

/// All parts of a run, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Machines {
    /// The parts: a call of the program each.
    #[serde(rename = "part", default)]
    pub parts: Vec<Part>,
}

/// A part of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Steps that were done before it.
    pub after_step: u64,
    /// Version of the program.
    pub druse: String,
    /// The device, as the configuration names it.
    pub device: String,
    /// Precision of the products with weights.
    pub precision: Precision,
    /// How the processor computes these, in words; absent where a GPU does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub products: Option<String>,
    /// The processor's kind and vector instructions ([`druse_nn::arch::instructions`]).
    pub instructions: String,
    /// Worker threads of rank 0.
    pub threads: usize,
    /// Number of processes.
    pub processes: usize,
}

/// Notes the machine that goes on with a run after that step. Parts that a run has gone back behind are dropped.
///
/// # Errors
/// [`RunError`] when the file cannot be read or written; a file that is none is begun anew.
pub(super) fn note(
    folder: &RunFolder,
    config: &RunConfig,
    place: &Device,
    processes: usize,
    after_step: u64,
) -> Result<(), RunError> {
    let path = folder.join(MACHINES_FILE);
    let found = files::read_if_exists(&path)?.and_then(|bytes| String::from_utf8(bytes).ok());
    let mut all: Machines = found.and_then(|text| toml::from_str(&text).ok()).unwrap_or_default();
    all.parts.retain(|part| part.after_step < after_step);
    let precision = config.train.precision;
    all.parts.push(Part {
        after_step,
        druse: env!("CARGO_PKG_VERSION").to_owned(),
        device: config.train.device.clone(),
        precision,
        products: device::is_host(place).then(|| precision.products().to_owned()),
        instructions: arch::instructions(),
        threads: rayon::current_num_threads(),
        processes,
    });
    let text = toml::to_string(&all).expect("parts are plain numbers and texts");
    Ok(files::write_atomic(&path, text.as_bytes())?)
}
