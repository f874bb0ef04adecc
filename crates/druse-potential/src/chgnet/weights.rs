//! Weight files of the potential, and the published ones.

use std::path::Path;

use druse_nn::weights::{WeightFile, WeightsError};

use crate::files::{LoadError, check_mark, content, mark, numbers};

/// Kind of network, in the header.
pub(crate) const KIND: &str = "chgnet";
/// Name of the potential, as users give it.
pub(super) const NAME: &str = "chgnet";

/// Numbers of a feature of an atom, a bond or an angle.
pub(super) const WIDTH: usize = 64;
/// Width of core and gate together.
pub(super) const TWO: usize = 2 * WIDTH;
/// Of those of two ends.
pub(super) const FOUR: usize = 4 * WIDTH;
/// Of what is made of the bases of pairs: embeddings of angles, and what the bond and the angle layer of the first block
/// make of them.
pub(super) const FIRST: usize = WIDTH + FOUR;
/// Functions of a distance.
pub(super) const RADIAL: usize = 31;
/// Sines, and as many cosines, of an angle.
pub(super) const WAVES: usize = 15;
/// Functions of an angle.
pub(super) const ANGULAR: usize = 2 * WAVES + 1;
/// Distance (Å) below which atoms see each other.
pub(super) const CUTOFF: f64 = 6.0;
/// Distance (Å) below which bonds make angles.
pub(super) const BOND_CUTOFF: f64 = 3.0;
/// The power with which bases leave 1 towards their cutoff.
pub(super) const POWER: u32 = 8;
/// Elements, from hydrogen on.
pub(super) const ELEMENTS: usize = 94;
/// Blocks of atom, bond and angle layers; one more atom layer follows.
pub(super) const BLOCKS: usize = 3;

/// Weights of a network of the architecture of CHGNet 0.3.0.
///
/// Tensors have the names and shapes of the published state dict.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    file: WeightFile,
}

impl Weights {
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
        check_mark(&file, KIND)?;
        Self::from_tensors(file)
    }

    /// Takes the tensors of the published state dict; others are left out.
    ///
    /// # Errors
    /// [`LoadError`] when a tensor is missing, has another shape or holds no numbers, or when there are tensors of another
    /// version of the network.
    pub fn from_tensors(mut file: WeightFile) -> Result<Self, LoadError> {
        let wanted = tensors();
        for (name, shape) in &wanted {
            let found = file.tensors.get(name).map(|(shape, _)| shape.clone());
            if let Some(found) = found.filter(|found| found != shape) {
                let problem = format!("has shape {found:?}, expected {shape:?}");
                let (name, tensor) = (file.name.clone(), name.clone());
                return Err(WeightsError::Tensor { name, tensor, problem }.into());
            }
            numbers(&file, name, shape.iter().product())?;
        }
        let known = |name: &String| wanted.iter().any(|(wanted, _)| wanted == name);
        if let Some(other) = file.tensors.keys().find(|name| !known(name)) {
            let problem = format!("it has a tensor `{other}`, which CHGNet 0.3.0 has not");
            return Err(content(&file, KIND, problem));
        }
        mark(&mut file, KIND);
        Ok(Self { file })
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

    /// Header and tensors.
    pub fn file(&self) -> &WeightFile {
        &self.file
    }

    /// Number of weights.
    pub fn count(&self) -> usize {
        self.file.tensors.values().map(|(_, values)| values.len()).sum()
    }

    /// A tensor in double precision; it was made sure that it is there.
    pub(super) fn get(&self, name: &str) -> Vec<f64> {
        self.file.tensors[name].1.iter().map(|&x| x.into()).collect()
    }
}

/// The tensors of the network with their shapes.
fn tensors() -> Vec<(String, Vec<usize>)> {
    let mut all: Vec<(String, Vec<usize>)> = Vec::new();
    let mut put = |name: String, shape: &[usize]| all.push((name, shape.to_vec()));
    put("composition_model.fc.weight".into(), &[1, ELEMENTS]);
    put("atom_embedding.embedding.weight".into(), &[ELEMENTS, WIDTH]);
    for basis in ["ag", "bg"] {
        put(format!("bond_basis_expansion.rbf_expansion_{basis}.frequencies"), &[RADIAL]);
        put(format!("bond_weights_{basis}.weight"), &[WIDTH, RADIAL]);
    }
    put("bond_embedding.weight".into(), &[WIDTH, RADIAL]);
    put("angle_basis_expansion.fourier_expansion.frequencies".into(), &[WAVES]);
    put("angle_embedding.weight".into(), &[WIDTH, ANGULAR]);
    let mut linear = |name: String, rows: usize, cols: usize, bias: bool| {
        put(format!("{name}.weight"), &[rows, cols]);
        if bias {
            put(format!("{name}.bias"), &[rows]);
        }
    };
    for t in 0..=BLOCKS {
        for net in ["core", "gate"] {
            linear(format!("atom_conv_layers.{t}.twoBody_atom.mlp_{net}.layers.0"), WIDTH, 3 * WIDTH, true);
            linear(format!("atom_conv_layers.{t}.twoBody_atom.mlp_{net}.layers.3"), WIDTH, WIDTH, true);
        }
        linear(format!("atom_conv_layers.{t}.mlp_out.layers.1"), WIDTH, WIDTH, false);
    }
    for t in 0..BLOCKS {
        for net in ["core", "gate"] {
            linear(format!("bond_conv_layers.{t}.twoBody_bond.mlp_{net}.layers.0"), WIDTH, 4 * WIDTH, true);
            linear(format!("bond_conv_layers.{t}.twoBody_bond.mlp_{net}.layers.3"), WIDTH, WIDTH, true);
            linear(format!("angle_layers.{t}.twoBody_bond.mlp_{net}.layers.1"), WIDTH, 4 * WIDTH, true);
        }
        linear(format!("bond_conv_layers.{t}.mlp_out.layers.1"), WIDTH, WIDTH, false);
    }
    for layer in [0, 2, 4] {
        linear(format!("mlp.layers.{layer}"), WIDTH, WIDTH, true);
    }
    linear("mlp.layers.7".into(), 1, WIDTH, true);
    linear("site_wise".into(), 1, WIDTH, true);
    let norms = (0..=BLOCKS).map(|t| format!("atom_conv_layers.{t}.twoBody_atom"));
    let norms = norms.chain((0..BLOCKS).flat_map(|t| {
        [format!("bond_conv_layers.{t}.twoBody_bond"), format!("angle_layers.{t}.twoBody_bond")]
    }));
    let norms: Vec<String> = norms.flat_map(|name| [format!("{name}.bn1"), format!("{name}.bn2")]).collect();
    for name in norms.into_iter().chain(["readout_norm".to_owned()]) {
        put(format!("{name}.weight"), &[WIDTH]);
        put(format!("{name}.bias"), &[WIDTH]);
    }
    all
}
