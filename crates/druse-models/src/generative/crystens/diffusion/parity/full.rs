//! A network at the published size: its output, and how large the results of its blocks are.

use burn::tensor::Device;
use druse_nn::ParamBuilder;
use druse_nn::blocks::unet::{Unet, UnetInput, UnetSizes};
use druse_nn::ops::{ImageGrid, matrix};
use serde::Deserialize;
use serde_json::{Value, json};

use druse_data::crystens::{CHANNELS, EDGE};

use super::super::super::parity::{Crystals, format, rms};
use super::super::model::Stage;
use super::super::objective::Noisy;
use super::super::schedule::{Schedule, doubled, halved};
use super::values::{Weights, channels_first, fill, image, noise, record};
use crate::ModelError;
use crate::reference::file::read;
use crate::reference::report::{Output, host};
use crate::reference::{Beside, ParityError, ParityReport};

#[derive(Deserialize)]
struct Config {
    dim: usize,
    stage: usize,
}

/// Inputs of a network, crystal by crystal.
#[derive(Deserialize)]
pub(super) struct Inputs {
    pub t: Vec<f64>,
    pub noise_seed: Vec<u64>,
    #[serde(default)]
    pub t_lowres: Vec<f64>,
    #[serde(default)]
    pub lowres_noise_seed: Vec<u64>,
}

/// What a network sees of a crystal.
pub(super) struct Prepared {
    pub x: Noisy,
    pub low_resolution: Option<Noisy>,
}

impl Prepared {
    pub fn input(&self, stage: Stage, device: &Device) -> UnetInput {
        let pixels = |noisy: &Noisy| matrix(noisy.x.clone(), CHANNELS, device);
        UnetInput {
            x: pixels(&self.x),
            grid: ImageGrid::square(self.x.log_snr.len(), stage.edge()),
            log_snr: self.x.log_snr.clone(),
            low_resolution: self.low_resolution.as_ref().map(|low| (pixels(low), low.log_snr.clone())),
            dropout: None,
        }
    }
}

/// The image of a stage, and the image of half the resolution doubled again.
pub(super) fn of_stage(image: &[f64], stage: Stage) -> [Vec<f64>; 2] {
    let half = halved(image, EDGE);
    match stage {
        Stage::Base => [half, Vec::new()],
        Stage::Upsampler => [image.to_vec(), doubled(&half, EDGE / 2)],
    }
}

/// An image with given noise.
pub(super) fn push(noisy: &mut Noisy, image: &[f64], schedule: Schedule, t: f64, noise: Vec<f64>) {
    let mut noise = noise.into_iter();
    noisy.push(image, schedule, t, || noise.next().unwrap_or_default());
}

impl Inputs {
    /// Input k of a stage.
    pub fn prepare(&self, k: usize, image: &[f64], stage: Stage) -> Result<Prepared, ParityError> {
        let [image, low] = of_stage(image, stage);
        let missing = || format(format!("input {k} lacks a time or a seed"));
        let one = |seed: u64, len: usize| noise(seed, 1, len, CHANNELS).remove(0);
        let [mut x, mut low_resolution] = [Noisy::default(), Noisy::default()];
        let (Some(&t), Some(&seed)) = (self.t.get(k), self.noise_seed.get(k)) else { return Err(missing()) };
        push(&mut x, &image, Schedule::Cosine, t, one(seed, image.len()));
        if stage == Stage::Base {
            return Ok(Prepared { x, low_resolution: None });
        }
        let (Some(&t), Some(&seed)) = (self.t_lowres.get(k), self.lowres_noise_seed.get(k)) else {
            return Err(missing());
        };
        push(&mut low_resolution, &low, Schedule::Linear, t, one(seed, low.len()));
        Ok(Prepared { x, low_resolution: Some(low_resolution) })
    }
}

pub(super) fn compare(
    head: &Value,
    beside: Beside<'_>,
    device: &Device,
    report: &mut ParityReport,
) -> Result<(), ParityError> {
    let config: Config = read(&head["config"])?;
    let (stage, sizes) = match config.stage {
        1 => (Stage::Base, UnetSizes { dim: config.dim, ..UnetSizes::base() }),
        2 => (Stage::Upsampler, UnetSizes { dim: config.dim, ..UnetSizes::upsampler() }),
        other => return Err(format(format!("stage {other}, expected 1 or 2"))),
    };
    let ids: Vec<String> = read(&head["inputs"]["structure_ids"])?;
    let inputs: Inputs = read(&head["inputs"])?;
    let outputs = head["outputs"].as_array().filter(|outputs| outputs.len() == ids.len());
    let outputs = outputs.ok_or_else(|| format("inputs and outputs differ in number"))?;
    let crystals = Crystals::read(beside)?;
    let weights = Weights::read(&head["parameters"])?;

    let mut builder = ParamBuilder::default();
    let network = Unet::new(&mut builder, "", &sizes)
        .map_err(|e| ParityError::Model(ModelError::Config(e.to_string())))?;
    let specs = builder.finish();
    report.record("parameters_used", &Output::count(weights.count()), &head["parameters_used"]);
    let params = fill(&specs, |name| (&weights, name.to_owned()), device)?;
    report.record("parameters_used", &Output::count(params.count()), &head["parameters_used"]);
    report.crystals = ids.len();
    for (k, (id, output)) in ids.iter().zip(outputs).enumerate() {
        let prepared = inputs.prepare(k, &image(&crystals, id)?, stage)?;
        let (noise, modules) = network.trace(&params, prepared.input(stage, device));
        let noise = channels_first(&host(&noise), CHANNELS);
        record(report, "predicted_noise", &noise, CHANNELS, &output["predicted_noise"]);
        for block in output["blocks"].as_array().into_iter().flatten() {
            let name = block["module"].as_str().unwrap_or_default();
            match modules.iter().find(|(module, _)| module == name) {
                Some((_, x)) => {
                    report.record(name, &Output::Numbers(vec![rms(&host(x))]), &json!([block["rms"]]));
                }
                None => report.skip(name),
            }
        }
    }
    Ok(())
}
