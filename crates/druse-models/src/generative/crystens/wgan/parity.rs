//! Reference evaluations of the published Wasserstein GAN.

use burn::tensor::{Device, Tensor};
use druse_nn::tangent::{Dual, input_gradient_loss, input_gradients};
use druse_nn::{ParamGroup, Params};
use nalgebra::DMatrix;
use serde_json::Value;

use super::super::NUMBERS;
use super::super::layers::Kept;
use super::super::parity::adversarial::{Comparison, Samples, fill, host, number, tensor};
use super::objective::{gradient_norms, penalty};
use super::{Wgan, WganConfig};
use crate::reference::file::read;
use crate::reference::{Beside, ParityError, ParityReport, ReferenceFiles};

/// Files of this network.
pub(super) const FILES: ReferenceFiles = ReferenceFiles {
    name: "CrysTens WGAN-GP",
    recognizes: |head| head["config"]["network"].as_str().is_some_and(|name| name.starts_with("WGAN-GP")),
    compare,
};

/// The network with inputs of one precision.
struct Evaluation<'a> {
    model: &'a Wgan,
    latents: Tensor<2>,
    real: Tensor<2>,
    samples: usize,
    device: Device,
}

fn compare(head: &Value, beside: Beside<'_>, device: &Device) -> Result<ParityReport, ParityError> {
    let model = Wgan::new(WganConfig::default())?;
    let samples = Samples::read(head, beside, model.config.latent)?;
    let [mut params, mut double_params] = fill(head, &model.specs, device)?;
    let of = |double| Evaluation {
        model: &model,
        latents: tensor(&samples.latents, model.config.latent, device, double),
        real: tensor(&samples.images, 1, device, double),
        samples: samples.count,
        device: device.clone(),
    };
    let (single, double) = (of(false), of(true));
    let mut found = Comparison::new(samples.count);
    let outputs = &head["outputs"];
    single.raw(&mut found, &params, outputs);
    let before = single.singular_values(&params);
    let calls = &outputs["training_mode_forward_calls_1_to_3"];
    single.training_calls(&mut found, &mut params, calls);
    let name = "true_largest_singular_value_before_and_after_3_calls";
    for ((layer, before), (_, after)) in before.iter().zip(single.singular_values(&params)) {
        found.numbers(name, &[*before, after], &outputs[name][layer]);
    }
    (0..calls.as_array().map_or(0, Vec::len)).for_each(|_| double.rescale(&mut double_params));
    let penalty = double.gradient_penalty(&mut found, &double_params, &outputs["gradient_penalty"])?;
    double.critic_step(&mut found, &double_params, penalty, &outputs["critic_step"]);
    double.generator_step(&mut found, &double_params, &outputs["generator_step"]);
    const KNOWN: [&str; 9] = [
        "generator_raw_kernels",
        "generator_raw_kernels_layers",
        "critic_raw_kernels_real",
        "critic_raw_kernels_real_layers",
        "training_mode_forward_calls_1_to_3",
        "true_largest_singular_value_before_and_after_3_calls",
        "gradient_penalty",
        "critic_step",
        "generator_step",
    ];
    let empty = serde_json::Map::new();
    let unknown = outputs.as_object().unwrap_or(&empty).keys().filter(|key| !KNOWN.contains(&key.as_str()));
    unknown.for_each(|key| found.report.skip(key));
    Ok(found.report)
}

impl Evaluation<'_> {
    /// Images, with the weights as they are.
    fn images(&self, params: &Params, trace: Option<&mut Vec<Kept>>) -> Tensor<2> {
        let calls = self.model.generator.calls(params, 1, false);
        let latents = self.latents.clone();
        let latents = if params.device().is_autodiff() { Tensor::from_inner(latents) } else { latents };
        self.model.generator.forward(params, &calls[0], latents, trace)
    }

    /// What the critic thinks, with the weights as they are.
    fn judged(&self, params: &Params, images: Dual, trace: Option<&mut Vec<Kept>>) -> Dual {
        let calls = self.model.critic.calls(params, 1, false);
        self.model.critic.forward(params, &calls[0], images, None, trace)
    }

    fn raw(&self, found: &mut Comparison, params: &Params, outputs: &Value) {
        let (mut generator, mut critic) = (Vec::new(), Vec::new());
        let images = self.images(params, Some(&mut generator));
        found.images("generator_raw_kernels", &host(&images), &outputs["generator_raw_kernels"]);
        let name = "generator_raw_kernels_layers";
        found.layers(name, &generator, self.samples, &outputs[name]);
        let judged = self.judged(params, Dual::constant(self.real.clone()), Some(&mut critic)).value;
        found.numbers("critic_raw_kernels_real", &host(&judged), &outputs["critic_raw_kernels_real"]);
        let name = "critic_raw_kernels_real_layers";
        found.layers(name, &critic, self.samples, &outputs[name]);
    }

    /// Calls in training mode, each of which leaves other weights.
    fn training_calls(&self, found: &mut Comparison, params: &mut Params, theirs: &Value) {
        let (generator, critic) = (&self.model.generator, &self.model.critic);
        let name = |key: &str| format!("training_mode.{key}");
        for call in theirs.as_array().map(Vec::as_slice).unwrap_or_default() {
            let training = params.clone().in_training();
            let by_generator = generator.calls(&training, 1, true).remove(0);
            let by_critic = critic.calls(&training, 1, true).remove(0);
            let images = generator.forward(&training, &by_generator, self.latents.clone(), None);
            let judged = critic.forward(&training, &by_critic, Dual::constant(self.real.clone()), None, None);
            found.images(&name("generator"), &host(&images), &call["generator"]);
            found.numbers(&name("critic_real"), &host(&judged.value), &call["critic_real"]);
            let mut updates = training.take_updates();
            params.apply_rewrites(&mut updates);
            params.apply_updates(updates);
            let divisors = by_generator.divisors.iter().chain(&by_critic.divisors);
            for (layer, divisor) in generator.layers().chain(critic.layers()).zip(divisors) {
                let divisor = divisor.as_ref().map(host).unwrap_or_default();
                found.numbers(&name("sigma_divided_by"), &divisor, &call["sigma_divided_by"][layer]);
                let u = host(&self.tensor(params, &format!("{layer}.u")));
                found.numbers(&name("u_first4"), &u[..4.min(u.len())], &call["u_first4"][layer]);
            }
        }
    }

    /// A call of both networks in training mode that is not looked at.
    fn rescale(&self, params: &mut Params) {
        let training = params.clone().in_training();
        self.model.generator.calls(&training, 1, true);
        self.model.critic.calls(&training, 1, true);
        let mut updates = training.take_updates();
        params.apply_rewrites(&mut updates);
        params.apply_updates(updates);
    }

    fn tensor(&self, params: &Params, name: &str) -> Tensor<2> {
        let place = self.model.specs.iter().position(|spec| spec.name == name);
        params.values()[place.expect("a tensor of the model")].clone()
    }

    /// The largest singular value of every rescaled weight.
    fn singular_values(&self, params: &Params) -> Vec<(String, f64)> {
        let layers = self.model.generator.layers().chain(self.model.critic.layers());
        let value = |layer: &str| {
            let u = self.tensor(params, &format!("{layer}.u")).dims()[1];
            let weight = host(&self.tensor(params, &format!("{layer}.weight")));
            // Convolutions are (rest, last), dense layers (last, rest): the same singular values.
            let (rows, columns) = match layer.contains("dense") {
                true => (u, weight.len() / u),
                false => (weight.len() / u, u),
            };
            let matrix = DMatrix::from_row_slice(rows, columns, &weight);
            let gram =
                if rows < columns { &matrix * matrix.transpose() } else { matrix.transpose() * &matrix };
            gram.symmetric_eigenvalues().max().sqrt()
        };
        layers.map(|layer| (layer.to_owned(), value(layer))).collect()
    }

    fn group(&self, network: &str) -> ParamGroup {
        ParamGroup::of(&self.model.specs, |name| name.starts_with(network))
    }

    fn gradients(
        &self,
        found: &mut Comparison,
        name: &str,
        tracked: &Params,
        loss: &Tensor<1>,
        theirs: &Value,
    ) {
        let grads = tracked.gradients(loss);
        let places = tracked.group().indices();
        let ours: Vec<_> = places.iter().zip(&grads).map(|(&i, g)| (&self.model.specs[i], host(g))).collect();
        found.gradients(name, &ours, theirs);
    }

    fn gradient_penalty(
        &self,
        found: &mut Comparison,
        params: &Params,
        theirs: &Value,
    ) -> Result<f64, ParityError> {
        let weights: Vec<f64> = read(&theirs["weight_of_real"])?;
        if weights.len() != self.samples {
            return Err(ParityError::Format("weight_of_real has another number of samples".into()));
        }
        let name = |key: &str| format!("gradient_penalty.{key}");
        let fakes = self.images(params, None);
        let mixture: Vec<f64> = weights.iter().flat_map(|&w| std::iter::repeat_n(w, NUMBERS)).collect();
        let between = fakes.clone() + tensor(&mixture, 1, &self.device, true) * (self.real.clone() - fakes);
        let judge = |params: &Params, [x]: [Dual; 1]| self.judged(params, x, None);
        let (judged, [slopes]) = input_gradients(params, [between.clone()], judge);
        found.numbers(&name("critic_interpolate"), &host(&judged), &theirs["critic_interpolate"]);
        let norms = gradient_norms(slopes.clone(), self.samples);
        found.numbers(&name("gradient_norm"), &host(&norms), &theirs["gradient_norm"]);
        found.images(&name("input_gradient"), &host(&slopes), &theirs["input_gradient"]);
        let tracked = params.tracked_by(&self.group("critic."));
        let loss = input_gradient_loss(&tracked, [between], judge, |[slopes]| penalty(slopes, self.samples));
        let loss = loss.mul_scalar(10.0 / self.samples as f64);
        let value = number(&loss.clone().inner());
        found.numbers(&name("penalty_times_10"), &[value], &theirs["penalty_times_10"]);
        let key = "penalty_parameter_gradients";
        self.gradients(found, &name(key), &tracked, &loss, &theirs[key]);
        Ok(value)
    }

    fn critic_step(&self, found: &mut Comparison, params: &Params, penalty: f64, theirs: &Value) {
        let name = |key: &str| format!("critic_step.{key}");
        let fakes = self.images(params, None);
        found.images(&name("fake_images"), &host(&fakes), &theirs["fake_images"]);
        let tracked = params.tracked_by(&self.group("critic."));
        let judged =
            |images: Tensor<2>| self.judged(&tracked, Dual::constant(Tensor::from_inner(images)), None).value;
        let (real, fake) = (judged(self.real.clone()), judged(fakes));
        found.numbers(&name("critic_real"), &host(&real.clone().inner()), &theirs["critic_real"]);
        found.numbers(&name("critic_fake"), &host(&fake.clone().inner()), &theirs["critic_fake"]);
        let loss = fake.mean() - real.mean();
        let value = number(&loss.clone().inner());
        // A difference of two means, which are its scale.
        let scale = theirs["critic_real"][0].as_f64().unwrap_or(1.0).abs();
        found.at_scale(&name("wasserstein_part"), &[value], &theirs["wasserstein_part"], scale);
        let key = "wasserstein_parameter_gradients";
        self.gradients(found, &name(key), &tracked, &loss, &theirs[key]);
        found.numbers(&name("total_loss"), &[value + penalty], &theirs["total_loss"]);
    }

    fn generator_step(&self, found: &mut Comparison, params: &Params, theirs: &Value) {
        let tracked = params.tracked_by(&self.group("gen."));
        let images = self.images(&tracked, None);
        let loss = self.judged(&tracked, Dual::constant(images), None).value.mean().neg();
        let value = number(&loss.clone().inner());
        found.numbers("generator_step.loss", &[value], &theirs["loss"]);
        self.gradients(found, "generator_step.gradients", &tracked, &loss, &theirs["gradients"]);
    }
}
