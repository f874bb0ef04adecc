//! Both networks at a small size: all modules, loss and gradients, steps of the sampler, the whole cascade.

use std::collections::VecDeque;

use burn::tensor::Device;
use druse_data::crystens::{CHANNELS, IMAGE_LEN};
use druse_nn::Params;
use druse_nn::blocks::unet::UnetSizes;
use druse_nn::memory::to_host;
use druse_nn::ops::matrix;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::parity::{Crystals, format, rms, weighted_sum};
use super::super::config::DiffusionConfig;
use super::super::model::{CrystensDiffusion, HALF_LEN, Stage};
use super::super::objective::Noisy;
use super::super::sampler::{Normal, State, noised, predict};
use super::super::schedule::{ReverseStep, Schedule};
use super::full::{Inputs, Prepared, of_stage, push};
use super::values::{Weights, channels_first, fill, image, noise, record};
use crate::reference::file::read;
use crate::reference::report::{Output, host};
use crate::reference::{Beside, ParityError, ParityReport};

/// Part of all magnitudes that the published sampler leaves as they are.
const THRESHOLD: f64 = 0.95;
/// Time of the noise of the published sampler's image of lower resolution.
const LOW_RESOLUTION_TIME: f64 = 0.2;
/// Gradients below this part of that of the whole network are zero but for rounding.
const ZERO: f64 = 1e-9;

#[derive(Deserialize)]
struct Config {
    dim: usize,
    dim_mults: Vec<usize>,
    attn_heads: usize,
    attn_dim_head: usize,
}

impl Config {
    fn model(&self) -> DiffusionConfig {
        let (dim, heads, head_width) = (self.dim, self.attn_heads, self.attn_dim_head);
        let sized = |rest| UnetSizes { dim, heads, head_width, multipliers: self.dim_mults.clone(), ..rest };
        DiffusionConfig {
            base: sized(UnetSizes::base()),
            upsampler: sized(UnetSizes::upsampler()),
            ..DiffusionConfig::default()
        }
    }
}

/// The networks of a file, and its crystals.
struct Published<'a> {
    model: CrystensDiffusion,
    params: Params,
    weights: [Weights; 2],
    crystals: Crystals,
    ids: Vec<String>,
    device: &'a Device,
}

/// Name of a stage in the files.
fn key(stage: Stage) -> &'static str {
    match stage {
        Stage::Base => "stage1",
        Stage::Upsampler => "stage2",
    }
}

/// Stage and name of a tensor of ours in the file.
fn listed(name: &str) -> (Stage, String) {
    let own = |stage: Stage| name.strip_prefix(stage.name()).and_then(|rest| rest.strip_prefix('.'));
    match own(Stage::Base) {
        Some(name) => (Stage::Base, name.to_owned()),
        None => (Stage::Upsampler, own(Stage::Upsampler).unwrap_or(name).to_owned()),
    }
}

pub(super) fn compare(
    head: &Value,
    beside: Beside<'_>,
    device: &Device,
    report: &mut ParityReport,
) -> Result<(), ParityError> {
    let config: Config = read(&head["config"])?;
    let model = CrystensDiffusion::new(config.model())?;
    let weights = [Weights::read(&head["parameters_stage1"])?, Weights::read(&head["parameters_stage2"])?];
    let of = |stage: Stage| &weights[usize::from(stage == Stage::Upsampler)];
    let params = fill(
        &model.specs,
        |name| {
            let (stage, name) = listed(name);
            (of(stage), name)
        },
        device,
    )?;
    for stage in Stage::ALL {
        let used = &head[format!("parameter_count_{}", key(stage))]["used"];
        let ours: usize = model.specs.iter().filter(|s| listed(&s.name).0 == stage).map(|s| s.len()).sum();
        report.record(&format!("{}.parameters", key(stage)), &Output::count(ours), used);
    }
    let ids: Vec<String> = read(&head["inputs"]["structure_ids"])?;
    report.crystals = ids.len();
    let crystals = Crystals::read(beside)?;
    let published = Published { model, params, weights, crystals, ids, device };
    for stage in Stage::ALL {
        published.modules(head, stage, report)?;
        published.loss(&head["training_loss"][key(stage)], stage, report)?;
    }
    for (name, run) in head["sampler"].as_object().into_iter().flatten() {
        match name.as_str() {
            "complete_cascade_3_timesteps" => published.cascade(run, report)?,
            _ if name.starts_with("stage1") => published.steps(name, run, Stage::Base, report)?,
            _ if name.starts_with("stage2") => published.steps(name, run, Stage::Upsampler, report)?,
            _ => report.skip(name),
        }
    }
    Ok(())
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

impl Published<'_> {
    fn images(&self) -> Result<Vec<Vec<f64>>, ParityError> {
        self.ids.iter().map(|id| image(&self.crystals, id)).collect()
    }

    /// The results of all modules, crystal by crystal.
    fn modules(&self, head: &Value, stage: Stage, report: &mut ParityReport) -> Result<(), ParityError> {
        let inputs: Inputs = read(&head["inputs"][key(stage)])?;
        let outputs = head["unet"][key(stage)].as_array();
        let outputs = outputs.ok_or_else(|| format("it has no outputs of the networks"))?;
        // The shapes are listed once.
        let shapes = outputs.first().map(|output| output["modules"].clone()).unwrap_or_default();
        for (k, (image, output)) in self.images()?.iter().zip(outputs).enumerate() {
            let Prepared { x, low_resolution } = inputs.prepare(k, image, stage)?;
            let name = |part: &str| format!("{}.{part}", key(stage));
            report.record(&name("log_snr"), &Output::numbers(x.log_snr.clone()), &json!([output["log_snr"]]));
            let first = |noisy: &Noisy| channels_first(&wide(&noisy.x), CHANNELS);
            record(report, &name("x_t"), &first(&x), CHANNELS, &output["x_t"]);
            if let Some(low) = &low_resolution {
                let log_snr = &output["log_snr_lowres"];
                report.record(
                    &name("log_snr_lowres"),
                    &Output::numbers(low.log_snr.clone()),
                    &json!([log_snr]),
                );
                record(report, &name("lowres_cond_img"), &first(low), CHANNELS, &output["lowres_cond_img"]);
            }
            let input = Prepared { x, low_resolution }.input(stage, self.device);
            let (noise, modules) = self.model.network(stage).trace(&self.params, input);
            let noise = channels_first(&host(&noise), CHANNELS);
            record(report, &name("predicted_noise"), &noise, CHANNELS, &output["predicted_noise"]);
            let listed = output["modules"].as_array().into_iter().flatten().enumerate();
            let mut ours = modules.iter();
            for (m, listed) in listed {
                let module = listed["module"].as_str().unwrap_or_default();
                let shape = shapes[m]["shape"].as_array().map_or(0, Vec::len);
                let Some((_, x)) = ours.find(|(name, _)| name == module) else {
                    report.skip(&name(module));
                    ours = modules.iter();
                    continue;
                };
                let [rows, channels] = x.dims();
                let values =
                    if shape == 3 && rows > 1 { channels_first(&host(x), channels) } else { host(x) };
                record(report, &name(module), &values, channels, listed);
            }
        }
        Ok(())
    }

    /// The loss of all crystals as one batch, and its gradients.
    fn loss(&self, listed_loss: &Value, stage: Stage, report: &mut ParityReport) -> Result<(), ParityError> {
        #[derive(Deserialize)]
        struct Inputs {
            t: Vec<f64>,
            noise_seed: u64,
            #[serde(default)]
            t_lowres: f64,
            #[serde(default)]
            lowres_noise_seed: u64,
        }
        let inputs: Inputs = read(listed_loss)?;
        let images = self.images()?;
        if inputs.t.len() != images.len() {
            return Err(format("a time for each crystal of the loss is needed"));
        }
        let (mut x, mut low) = (Noisy::default(), Noisy::default());
        let len = stage.edge() * stage.edge() * CHANNELS;
        let noises = noise(inputs.noise_seed, images.len(), len, CHANNELS);
        let low_noises = match stage {
            Stage::Base => vec![Vec::new(); images.len()],
            Stage::Upsampler => noise(inputs.lowres_noise_seed, images.len(), len, CHANNELS),
        };
        for (((image, &t), noise), low_noise) in images.iter().zip(&inputs.t).zip(noises).zip(low_noises) {
            let [image, doubled] = of_stage(image, stage);
            push(&mut x, &image, Schedule::Cosine, t, noise);
            push(&mut low, &doubled, Schedule::Linear, inputs.t_lowres, low_noise);
        }
        let target = matrix(x.noise.clone(), CHANNELS, self.device);
        let levels = x.log_snr.clone();
        let low_resolution = (stage == Stage::Upsampler).then_some(low);
        let params = self.params.tracked();
        let input = Prepared { x, low_resolution }.input(stage, self.device);
        let error = self.model.network(stage).forward(&params, input) - target;
        let errors = (error.clone() * error).reshape([images.len(), len]).mean_dim(1);
        let weights: Vec<f64> = levels.iter().map(|&l| self.model.config.loss_weight.at(l)).collect();
        let weight = matrix(weights.iter().map(|&w| w as f32).collect(), 1, self.device);
        let loss = (errors.clone() * weight).mean();
        let name = |part: &str| format!("{}.training_loss.{part}", key(stage));
        let compute = |e| ParityError::Model(crate::ModelError::Compute(e));
        let total = wide(&to_host(loss.clone().inner()).map_err(compute)?);
        report.record(&name("loss"), &Output::Numbers(total), &json!([listed_loss["loss"]]));
        let errors = Output::numbers(host(&errors.inner()));
        report.record(&name("mse_per_sample"), &errors, &listed_loss["mse_per_sample"]);
        report.record(&name("weight"), &Output::Numbers(weights), &listed_loss["weight"]);
        report.record(&name("log_snr"), &Output::Numbers(levels), &listed_loss["log_snr"]);

        let of_all = listed_loss["gradient_l2_total"].as_f64().unwrap_or(f64::NAN);
        let mut squares = 0.0;
        let grads = params.gradients(&loss);
        for (spec, grad) in self.model.specs.iter().zip(grads) {
            let (own, tensor) = listed(&spec.name);
            if own != stage {
                continue;
            }
            let weights = &self.weights[usize::from(stage == Stage::Upsampler)];
            let grad = weights.in_listed_order(&tensor, spec, to_host(grad).map_err(compute)?);
            let length = grad.iter().map(|g| g * g).sum::<f64>().sqrt();
            squares += length * length;
            let Some(theirs) = listed_loss["gradient_l2"][&tensor].as_f64() else {
                report.skip(&name(&tensor));
                continue;
            };
            if theirs < ZERO * of_all {
                let whole = Output::Numbers(vec![length, of_all]);
                report.record(&name("gradient_zero"), &whole, &json!([theirs, of_all]));
                continue;
            }
            report.record(&name("gradient_l2"), &Output::Numbers(vec![length]), &json!([theirs]));
            if let Some(sum) = listed_loss["gradient_weighted_sum"][&tensor].as_f64() {
                // As large as its terms make it.
                let ours = Output::Numbers(vec![weighted_sum(&grad), length]);
                report.record(&name("gradient_weighted_sum"), &ours, &json!([sum, theirs]));
            }
        }
        report.record(&name("gradient_l2_total"), &Output::Numbers(vec![squares.sqrt()]), &json!([of_all]));
        Ok(())
    }

    /// Some steps of the sampler in a row.
    fn steps(
        &self,
        run_name: &str,
        run: &Value,
        stage: Stage,
        report: &mut ParityReport,
    ) -> Result<(), ParityError> {
        #[derive(Deserialize)]
        struct Step {
            t: f64,
            t_next: f64,
            noise_seed: u64,
        }
        #[derive(Deserialize)]
        struct Run {
            initial_noise_seed: u64,
            steps: Vec<Step>,
            lowres_structure: Option<String>,
            lowres_noise_seed: Option<u64>,
            lowres_t: Option<f64>,
        }
        let listed_steps = run["steps"].as_array().cloned().unwrap_or_default();
        let images =
            listed_steps.first().and_then(|step| step["predicted_noise"].as_array()).map_or(1, Vec::len);
        let r: Run = read(run)?;
        let name = |part: &str| format!("{run_name}.{part}");
        let len = stage.edge() * stage.edge() * CHANNELS;
        let seeds = std::iter::once(r.initial_noise_seed).chain(r.steps.iter().map(|step| step.noise_seed));
        let given = Given::each(seeds.map(|seed| (seed, len)), images);
        let mut states: Vec<State<Given>> =
            given.into_iter().map(|noise| State::start(noise, stage)).collect();
        let time = r.lowres_t.unwrap_or(LOW_RESOLUTION_TIME);
        if let (Some(id), Some(seed)) = (&r.lowres_structure, r.lowres_noise_seed) {
            let [_, doubled] = of_stage(&image(&self.crystals, id)?, stage);
            let given = Given::each([(seed, len)].into_iter(), images);
            for (state, mut noise) in states.iter_mut().zip(given) {
                state.low_resolution = noised(&doubled, time, &mut noise);
            }
            let first = channels_first(&wide(&states[0].low_resolution), CHANNELS);
            record(report, &name("lowres_cond_img"), &first, CHANNELS, &run["lowres_cond_img"]);
        }
        for (step, listed) in r.steps.iter().zip(&listed_steps) {
            let reverse = ReverseStep::between(step.t, step.t_next, step.t_next == 0.0);
            for (part, value) in [
                ("log_snr", reverse.log_snr),
                ("log_snr_next", Schedule::Cosine.log_snr(step.t_next)),
                ("c", reverse.c),
                ("posterior_variance", reverse.variance),
            ] {
                report.record(&name(part), &Output::Numbers(vec![value]), &json!([listed[part]]));
            }
            let inputs: Vec<_> = states.iter().map(|state| (state, reverse)).collect();
            let predicted = predict(&self.model, &self.params, stage, &inputs, time)?;
            for (i, (state, predicted)) in states.iter_mut().zip(predicted.chunks(len)).enumerate() {
                let moved = state.advance(&reverse, predicted, THRESHOLD, |_| ());
                for (part, values) in [
                    ("predicted_noise", &wide(predicted)),
                    ("x0", &moved.clean),
                    ("posterior_mean", &moved.mean),
                    ("x_next", &state.x),
                ] {
                    let values = channels_first(values, CHANNELS);
                    record(report, &name(part), &values, CHANNELS, &listed[part][i]);
                }
                let before = &listed["x0_before_threshold_rms"][i];
                let size = Output::Numbers(vec![rms(&moved.unlimited)]);
                report.record(&name("x0_before_threshold_rms"), &size, &json!([before]));
                let quantile = Output::Numbers(vec![moved.quantile]);
                report.record(&name("percentile_95"), &quantile, &json!([listed["percentile_95"][i]]));
            }
        }
        Ok(())
    }

    /// Both networks one after the other, in few steps.
    fn cascade(&self, run: &Value, report: &mut ParityReport) -> Result<(), ParityError> {
        let seeds: Vec<u64> = read(&run["noise_seeds_in_order"])?;
        let grid: Vec<f64> = read(&run["t_grid"])?;
        let steps = grid.len().saturating_sub(1);
        if steps == 0 || seeds.len() != 2 * steps + 3 {
            return Err(format("seeds and times of the cascade do not fit"));
        }
        let images = run["batch"].as_u64().unwrap_or(1) as usize;
        let lens = (0..seeds.len()).map(|k| if k <= steps { HALF_LEN } else { IMAGE_LEN });
        let given = Given::each(seeds.into_iter().zip(lens), images);
        for (i, noise) in given.into_iter().enumerate() {
            let mut state = State::start(noise, Stage::Base);
            for stage in Stage::ALL {
                for k in 0..steps {
                    let reverse = ReverseStep::of(k, steps);
                    let inputs = [(&state, reverse)];
                    let predicted = predict(&self.model, &self.params, stage, &inputs, LOW_RESOLUTION_TIME)?;
                    state.advance(&reverse, &predicted, THRESHOLD, |_| ());
                }
                let part = format!("{}_image_0_to_1", key(stage));
                let image = channels_first(&state.image(), CHANNELS);
                record(report, &format!("cascade.{part}"), &image, CHANNELS, &run[part.as_str()][i]);
                if stage == Stage::Base {
                    state.ascend(LOW_RESOLUTION_TIME);
                }
            }
        }
        Ok(())
    }
}

/// Noise by seeds: one call after the other.
struct Given(VecDeque<Vec<f64>>);

impl Given {
    /// For each image of a batch, noise of so many numbers by each seed.
    fn each(seeds: impl Iterator<Item = (u64, usize)>, images: usize) -> Vec<Self> {
        let mut all: Vec<Self> = (0..images).map(|_| Self(VecDeque::new())).collect();
        for (seed, len) in seeds {
            let drawn = noise(seed, images, len, CHANNELS);
            all.iter_mut().zip(drawn).for_each(|(given, noise)| given.0.push_back(noise));
        }
        all
    }
}

impl Normal for Given {
    fn normal(&mut self, len: usize) -> Vec<f64> {
        self.0.pop_front().unwrap_or_else(|| vec![0.0; len])
    }
}
