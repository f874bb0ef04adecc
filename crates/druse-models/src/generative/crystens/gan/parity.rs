//! Reference evaluations of the published GAN.

use burn::tensor::{Device, Tensor};
use druse_nn::{ParamGroup, Params};
use serde_json::Value;

use super::super::layers::Kept;
use super::super::parity::adversarial::{Comparison, Samples, fill, host, number, tensor};
use super::objective::{binary_cross_entropy, probability};
use super::{Gan, GanConfig};
use crate::reference::{Beside, ParityError, ParityReport, ReferenceFiles};

/// Files of this network.
pub(super) const FILES: ReferenceFiles = ReferenceFiles {
    name: "CrysTens GAN",
    recognizes: |head| head["config"]["network"].as_str().is_some_and(|name| name.starts_with("vanilla GAN")),
    compare,
};

/// Tensors of one precision.
struct Numbers {
    params: Params,
    latents: Tensor<2>,
    real: Tensor<2>,
}

impl Numbers {
    /// Images of the generator in evaluation mode.
    fn fakes(&self, model: &Gan) -> Tensor<2> {
        model.generator.forward(&self.params, self.latents.clone(), false, None)
    }
}

struct Evaluation {
    model: Gan,
    single: Numbers,
    /// Of `single`.
    fakes: Tensor<2>,
    double: Numbers,
    samples: usize,
    device: Device,
}

/// Records a network's layers.
fn traced<T>(run: impl FnOnce(&mut Vec<Kept>) -> T) -> Vec<Kept> {
    let mut kept = Vec::new();
    run(&mut kept);
    kept
}

fn compare(head: &Value, beside: Beside<'_>, device: &Device) -> Result<ParityReport, ParityError> {
    let model = Gan::build(GanConfig::default(), true)?;
    let samples = Samples::read(head, beside, model.config.latent)?;
    let [single, double] = fill(head, &model.specs, device)?;
    let numbers = |params: Params, double| {
        let latents = tensor(&samples.latents, model.config.latent, device, double);
        Numbers { latents, real: tensor(&samples.images, 1, device, double), params }
    };
    let (single, double) = (numbers(single, false), numbers(double, true));
    let fakes = single.fakes(&model);
    let it = Evaluation { model, single, fakes, double, samples: samples.count, device: device.clone() };
    let mut found = Comparison::new(samples.count);
    let empty = serde_json::Map::new();
    for (name, theirs) in head["outputs"].as_object().unwrap_or(&empty) {
        it.output(&mut found, name, theirs);
    }
    Ok(found.report)
}

impl Evaluation {
    fn output(&self, found: &mut Comparison, name: &str, theirs: &Value) {
        let (generator, discriminator) = (&self.model.generator, &self.model.discriminator);
        let (real, fakes) = (&self.single.real, &self.fakes);
        match name {
            "generator_eval" => found.images(name, &host(fakes), theirs),
            "generator_eval_layers" | "generator_train_layers" => {
                // Statistics of four images make rounding larger.
                let of_batch = name == "generator_train_layers";
                let Numbers { params, latents, .. } = if of_batch { &self.double } else { &self.single };
                let kept = traced(|kept| generator.forward(params, latents.clone(), of_batch, Some(kept)));
                found.layers(name, &kept, self.samples, theirs);
            }
            "discriminator_eval_real_layers" | "discriminator_train_real_layers" => {
                let of_batch = name == "discriminator_train_real_layers";
                let Numbers { params, real, .. } = if of_batch { &self.double } else { &self.single };
                let real = real.clone();
                let kept = traced(|kept| discriminator.forward(params, real, of_batch, None, Some(kept)));
                found.layers(name, &kept, self.samples, theirs);
            }
            "discriminator_eval_real" => self.judged(found, name, real, theirs),
            "discriminator_eval_fake" => self.judged(found, name, fakes, theirs),
            "discriminator_step_real" => {
                self.discriminator_step(found, name, &self.double.real, true, theirs)
            }
            "discriminator_step_fake" => {
                let fakes = self.double.fakes(&self.model);
                self.discriminator_step(found, name, &fakes, false, theirs)
            }
            "generator_step" => self.generator_step(found, name, theirs),
            "relative_change" => self.relative_change(found, name, theirs),
            _ => found.report.skip(name),
        }
    }

    fn judged(&self, found: &mut Comparison, name: &str, images: &Tensor<2>, theirs: &Value) {
        let logits = self.model.discriminator.forward(&self.single.params, images.clone(), false, None, None);
        found.numbers(&format!("{name}.logit"), &host(&logits), &theirs["logit"]);
        found.numbers(&format!("{name}.probability"), &host(&probability(&logits)), &theirs["probability"]);
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
        found.gradients(&format!("{name}.gradients"), &ours, theirs);
    }

    fn group(&self, network: &str) -> ParamGroup {
        ParamGroup::of(&self.model.specs, |name| name.starts_with(network))
    }

    fn loss(&self, logits: Tensor<2>, real: bool) -> Tensor<1> {
        binary_cross_entropy(logits, real).div_scalar(self.samples as f64)
    }

    fn discriminator_step(
        &self,
        found: &mut Comparison,
        name: &str,
        images: &Tensor<2>,
        real: bool,
        theirs: &Value,
    ) {
        let tracked = self.double.params.tracked_by(&self.group("disc.")).in_training();
        let images = Tensor::from_inner(images.clone());
        let logits = self.model.discriminator.forward(&tracked, images, true, None, None);
        let loss = self.loss(logits.clone(), real);
        let logits = logits.inner();
        found.numbers(&format!("{name}.loss"), &[number(&loss.clone().inner())], &theirs["loss"]);
        found.numbers(&format!("{name}.logit"), &host(&logits), &theirs["logit"]);
        found.numbers(&format!("{name}.probability"), &host(&probability(&logits)), &theirs["probability"]);
        self.gradients(found, name, &tracked, &loss, &theirs["gradients"]);
        let mut after = self.double.params.clone();
        after.apply_updates(tracked.take_updates());
        let last = (0..).take_while(|k| self.position(&format!("disc.bn{k}.weight")).is_some()).count();
        let last = format!("disc.bn{}.running_var", last.saturating_sub(1));
        for (key, tensor) in [
            ("disc.bn0.moving_mean_after_first5", "disc.bn0.running_mean"),
            ("disc.bn0.moving_variance_after_first5", "disc.bn0.running_var"),
            ("last_bn_moving_variance_after_first5", &last),
        ] {
            let values = self.position(tensor).map(|i| host(&after.values()[i])[..5].to_vec());
            let values = values.unwrap_or_default();
            found.numbers(&format!("{name}.moving"), &values, &theirs[key]);
        }
    }

    fn position(&self, tensor: &str) -> Option<usize> {
        self.model.specs.iter().position(|spec| spec.name == tensor)
    }

    fn generator_step(&self, found: &mut Comparison, name: &str, theirs: &Value) {
        let tracked = self.double.params.tracked_by(&self.group("gen.")).in_training();
        let latents = Tensor::from_inner(self.double.latents.clone());
        let images = self.model.generator.forward(&tracked, latents, true, None);
        let logits = self.model.discriminator.forward(&tracked, images.clone(), false, None, None);
        let loss = self.loss(logits.clone(), true);
        found.numbers(&format!("{name}.loss"), &[number(&loss.clone().inner())], &theirs["loss"]);
        let probability = host(&probability(&logits.inner()));
        found.numbers(&format!("{name}.probability"), &probability, &theirs["probability"]);
        found.images(&format!("{name}.image"), &host(&images.inner()), &theirs["image"]);
        self.gradients(found, name, &tracked, &loss, &theirs["gradients"]);
    }

    /// What becomes of an output when a layer's kernel is zero. Keys name the layer in brackets; changes are parts of the
    /// largest value, so 1 is their scale.
    fn relative_change(&self, found: &mut Comparison, name: &str, theirs: &Value) {
        let empty = serde_json::Map::new();
        for (key, value) in theirs.as_object().unwrap_or(&empty) {
            let layer = key.rsplit_once('(').and_then(|(_, layer)| layer.strip_suffix(')'));
            let place = layer.and_then(|layer| self.position(&format!("{layer}.weight")));
            let Some(place) = place else {
                found.report.skip(&format!("{name}.{key}"));
                continue;
            };
            let mut values = self.single.params.to_host();
            values[place].fill(0.0);
            let without = Params::from_host(&self.model.specs, &values, &self.device);
            let output = |params: &Params| match key.starts_with("discriminator") {
                true => self.model.discriminator.forward(params, self.single.real.clone(), false, None, None),
                false => self.model.generator.forward(params, self.single.latents.clone(), false, None),
            };
            let (with, without) = (host(&output(&self.single.params)), host(&output(&without)));
            let change = with.iter().zip(&without).fold(0f64, |m, (a, b)| m.max((a - b).abs()));
            let largest = with.iter().fold(0f64, |m, x| m.max(x.abs()));
            found.at_scale(name, &[change / largest], value, 1.0);
        }
    }
}
