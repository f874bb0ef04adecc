//! Weight files of the potential.

use std::path::Path;

use druse_nn::weights::WeightFile;

use super::config::Config;
use crate::files::{LoadError, check_mark, content, mark, numbers};

/// Kind of network, in the header.
pub(super) const KIND: &str = "sevennet";
/// Entry of the header that holds the [`Config`] as JSON.
pub(super) const CONFIG: &str = "config";

/// Weights of a network with its sizes.
///
/// Tensors have the names of the published state dict and are flat: maps of several degrees one after the other. Radial
/// weights are in this crate's order of paths, sorted by the degree of the message, with the signs of its 3j coefficients.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    config: Config,
    file: WeightFile,
}

impl Weights {
    /// Weights from tensors and sizes.
    ///
    /// # Errors
    /// [`LoadError`] when the sizes make no network, a tensor is missing, has another shape or holds no numbers.
    pub fn new(config: Config, mut file: WeightFile) -> Result<Self, LoadError> {
        let wrong = |problem: String| content(&file, KIND, problem);
        config.validate().map_err(wrong)?;
        let json = serde_json::to_string(&config).map_err(|e| wrong(e.to_string()))?;
        mark(&mut file, KIND);
        file.metadata.insert(CONFIG.into(), json);
        for (name, len) in tensors(&config) {
            numbers(&file, &name, len)?;
        }
        let needed: Vec<String> = tensors(&config).into_iter().map(|(name, _)| name).collect();
        file.tensors.retain(|name, _| needed.contains(name));
        Ok(Self { config, file })
    }

    /// Reads a weight file.
    ///
    /// # Errors
    /// [`LoadError`] when it cannot be read or holds something else.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        Self::from_file(WeightFile::read(path)?)
    }

    /// Parses the bytes of a weight file; `name` appears in messages.
    ///
    /// # Errors
    /// [`LoadError`] when they hold something else.
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self, LoadError> {
        Self::from_file(WeightFile::from_bytes(bytes, name)?)
    }

    pub(crate) fn from_file(file: WeightFile) -> Result<Self, LoadError> {
        let wrong = |problem: String| content(&file, KIND, problem);
        check_mark(&file, KIND)?;
        let json =
            file.metadata.get(CONFIG).ok_or_else(|| wrong("its header has no configuration".into()))?;
        let config = serde_json::from_str(json).map_err(|e| wrong(format!("its configuration: {e}")))?;
        Self::new(config, file)
    }

    /// Writes a weight file.
    ///
    /// # Errors
    /// [`LoadError::Weights`] when the folder cannot be written or the disk is full.
    pub fn write(&self, path: &Path) -> Result<(), LoadError> {
        Ok(self.file.write(path)?)
    }

    /// The weights with another entry in the header of their file, such as `license`.
    #[must_use]
    pub fn with_note(mut self, key: &str, text: &str) -> Self {
        self.file.metadata.insert(key.to_owned(), text.to_owned());
        self
    }

    /// Sizes, cutoff and elements.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Header and tensors.
    pub fn file(&self) -> &WeightFile {
        &self.file
    }

    /// Number of weights.
    pub fn count(&self) -> usize {
        self.file.tensors.values().map(|(_, values)| values.len()).sum()
    }

    /// A tensor in double precision; [`Weights::new`] has made sure that it is there.
    pub(super) fn get(&self, name: &str) -> Vec<f64> {
        self.file.tensors[name].1.iter().map(|&x| x.into()).collect()
    }
}

/// Names of a block's tensors.
pub(super) mod names {
    pub const FREQUENCIES: &str = "edge_embedding.basis_function.coeffs";
    pub const EMBEDDING: &str = "onehot_to_feature_x.linear.weight";
    pub const TO_HIDDEN: &str = "reduce_input_to_hidden.linear.weight";
    pub const TO_ENERGY: &str = "reduce_hidden_to_energy.linear.weight";
    pub const SHIFT: &str = "rescale_atomic_energy.shift";
    pub const SCALE: &str = "rescale_atomic_energy.scale";

    pub fn self_connection(t: usize) -> String {
        format!("{t}_self_connection_intro.linear.weight")
    }

    pub fn before(t: usize) -> String {
        format!("{t}_self_interaction_1.linear.weight")
    }

    pub fn after(t: usize) -> String {
        format!("{t}_self_interaction_2.linear.weight")
    }

    pub fn denominator(t: usize) -> String {
        format!("{t}_convolution.denominator")
    }

    pub fn radial(t: usize, layer: usize) -> String {
        format!("{t}_convolution.weight_nn.layer{layer}.weight")
    }
}

/// The tensors of a network with their numbers of values.
pub(super) fn tensors(config: &Config) -> Vec<(String, usize)> {
    use names::{after, before, denominator, radial, self_connection};
    let linear = |from: &[usize], to: &[usize]| from.iter().zip(to).map(|(a, b)| a * b).sum::<usize>();
    let elements = config.elements.len();
    let mut all = vec![
        (names::FREQUENCIES.to_owned(), config.radial_functions),
        (names::EMBEDDING.to_owned(), elements * config.channels[0]),
        (names::TO_HIDDEN.to_owned(), config.channels[0] * config.readout_width),
        (names::TO_ENERGY.to_owned(), config.readout_width),
        (names::SHIFT.to_owned(), elements),
        (names::SCALE.to_owned(), elements),
    ];
    for t in 0..config.blocks {
        let (input, gated, paths) = (config.input(t), config.gated(t), config.paths(t));
        let width = config.radial_width;
        all.push((self_connection(t), linear(input.channels(), gated.channels())));
        all.push((before(t), linear(input.channels(), input.channels())));
        all.push((after(t), linear(paths.messages.channels(), gated.channels())));
        all.push((denominator(t), 1));
        all.push((radial(t, 0), config.radial_functions * width));
        all.push((radial(t, 1), width * width));
        all.push((radial(t, 2), width * paths.weights));
    }
    all
}
