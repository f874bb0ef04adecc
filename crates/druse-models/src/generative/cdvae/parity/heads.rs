//! The aggregate heads of CDVAE on given latents.

use std::collections::BTreeMap;

use burn::tensor::Device;
use druse_nn::ops::matrix;
use druse_nn::{ParamBuilder, Params};
use serde::Deserialize;
use serde_json::Value;

use crate::Standardizer;
use crate::autoencoder::cell_parameters;
use crate::cdvae::AggregateHeads;
use crate::reference::file::{File, read};
use crate::reference::report::{Output, Outputs, host};
use crate::reference::{ParityError, Part};

#[derive(Deserialize)]
struct FileConfig {
    heads: HeadsConfig,
    decoder: LatentConfig,
}

#[derive(Deserialize)]
struct HeadsConfig {
    hidden: usize,
    hidden_layers: usize,
    max_atoms: usize,
}

#[derive(Deserialize)]
struct LatentConfig {
    latent: usize,
}

#[derive(Deserialize)]
struct FileInput {
    atomic_numbers: Vec<i64>,
    latent: Vec<f64>,
}

struct Heads {
    heads: AggregateHeads,
    params: Params,
    latent: usize,
    scaler: Standardizer,
}

/// Builds the heads of a file.
pub(crate) fn build(file: &File, device: &Device) -> Result<Box<dyn Part>, ParityError> {
    let FileConfig { heads: c, decoder: LatentConfig { latent } } = read(&file.config)?;
    if c.hidden_layers != 1 {
        return Err(ParityError::Format("expected heads with one hidden layer".into()));
    }
    let scaler = file.standardizer("lattice_scaler", 6)?;
    let mut builder = ParamBuilder::default();
    let heads = AggregateHeads::new(&mut builder, [latent, c.hidden, c.max_atoms], false);
    let params = file.fill(&builder.finish(), device)?;
    Ok(Box::new(Heads { heads, params, latent, scaler }))
}

impl Part for Heads {
    fn outputs(&self, input: &Value, _: &BTreeMap<String, Value>) -> Result<Outputs, ParityError> {
        let input: FileInput = read(input)?;
        if input.latent.len() != self.latent {
            return Err(ParityError::Format("a latent of another width".into()));
        }
        let latent = input.latent.iter().map(|&x| x as f32).collect();
        let z = matrix(latent, self.latent, self.params.device());
        let said = self.heads.forward(&self.params, &z);
        let normalized: Vec<f32> = host(&said.lattice).into_iter().map(|x| x as f32).collect();
        let cell = cell_parameters(&self.scaler, &normalized, input.atomic_numbers.len());
        Ok(Outputs::from([
            ("fc_num_atoms_logits", Output::tensor(&said.num_atoms)),
            ("lattice_normalised", Output::tensor(&said.lattice)),
            ("lattice_lengths", Output::numbers(cell[..3].iter().copied())),
            ("lattice_angles", Output::numbers(cell[3..].iter().copied())),
            ("composition_logits", Output::tensor(&said.composition)),
        ]))
    }
}
