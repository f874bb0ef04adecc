//! Checks of the objective and its gradient.

use druse_models::{Gradient, NoiseKey};
use druse_nn::memory::to_host;

use super::crystals::Random;
use super::{Finding, Fitted, host_params, keys, on_threads, refs, text};

/// Entries of a tensor that are moved together.
const SUBSET: usize = 64;

/// Steps of the finite differences: the first that agrees counts. Objectives bend differently, and rounding is felt more
/// the smaller the step.
const STEPS: [f64; 4] = [4e-3, 1e-2, 3e-2, 1e-3];

pub(super) fn gradient(fitted: &Fitted<'_>) -> Finding {
    let structures: Vec<_> = fitted.generic.iter().rev().step_by(3).take(4).collect();
    let keys = keys(structures.len(), 2);
    let host = fitted.params.to_host();
    let limit = fitted.loose();
    let mut random = Random(1);
    let (mut tensors, mut telling) = (0, 0);
    for phase in &fitted.phases {
        let batch = || Fitted::batch(fitted.trainable(), phase, &structures, &keys);
        let gradient = batch().differentiate(&fitted.params, &limit).map_err(text)?;
        // The numbers of a training step, which may differ from those of an evaluation.
        let objective = |values: &[Vec<f32>]| {
            let params = host_params(values, &fitted.params);
            match fitted.is_stateless() {
                true => batch().evaluate(&params, &limit),
                false => batch().differentiate(&params, &limit).map(|g| g.objective),
            }
            .map(|objective| objective.total)
            .map_err(text)
        };
        for (&place, grad) in phase.group.indices().iter().zip(&gradient.grads) {
            let grad = to_host(grad.clone()).map_err(text)?;
            let direction = direction(&grad, &mut random);
            let slope: f64 = direction.iter().map(|&(k, d)| f64::from(grad[k]) * d).sum();
            let at = |h: f64| {
                let mut moved = host.clone();
                direction.iter().for_each(|&(k, d)| moved[place][k] += (h * d) as f32);
                objective(&moved)
            };
            let rounding = |h: f64| 1e-6 * gradient.objective.total.abs().max(1.0) / h;
            let mut found = Vec::new();
            for h in STEPS {
                let measured = (at(h)? - at(-h)?) / (2.0 * h);
                found.push(measured);
                let allowed =
                    fitted.contract.gradient_tolerance * slope.abs().max(measured.abs()) + rounding(h);
                if (measured - slope).abs() <= allowed {
                    found.clear();
                    break;
                }
            }
            if !found.is_empty() {
                let name = &fitted.trainable().parameters()[place].name;
                return Err(format!(
                    "`{name}` in phase `{}`: the slope is {slope}, finite differences are {found:?}",
                    phase.phase.name
                ));
            }
            tensors += 1;
            telling += usize::from(slope.abs() > 3.0 * rounding(STEPS[0]));
        }
    }
    match telling {
        0 => Err(format!("the slopes of all {tensors} tensors are below rounding: nothing was checked")),
        _ => Ok(format!("{tensors} tensors, {telling} with slopes well above rounding")),
    }
}

/// A direction of length one in some entries of a tensor, uphill where there is a slope: an entry whose slope is missing is
/// moved, too.
fn direction(grad: &[f32], random: &mut Random) -> Vec<(usize, f64)> {
    let mut entries: Vec<usize> = match grad.len() {
        n if n <= SUBSET => (0..n).collect(),
        n => (0..SUBSET).map(|_| random.below(n)).collect(),
    };
    entries.sort_unstable();
    entries.dedup();
    let step = (entries.len() as f64).sqrt().recip();
    let sign = |k: usize, random: &mut Random| match grad[k] {
        g if g != 0.0 => f64::from(g.signum()),
        _ => random.symmetric().signum(),
    };
    entries.into_iter().map(|k| (k, step * sign(k, random))).collect()
}

pub(super) fn micro_batches(fitted: &Fitted<'_>) -> Finding {
    let structures = refs(&fitted.contract.structures);
    let keys = keys(structures.len(), 1);
    let (tight, loose) = (fitted.tight(), fitted.loose());
    let [a, b] = [&tight, &loose].map(|limit| fitted.objectives(&structures, &keys, limit));
    let in_evaluation = |e| format!("cut and in one, in evaluation: {e}");
    fitted.same_objectives(&a?, &b?, None).map_err(in_evaluation)?;
    if !fitted.is_independent() {
        return Ok(format!("{} structures cut and in one, in evaluation", structures.len()));
    }
    let cut = fitted.gradients(&structures, &keys, &tight)?;
    for ((phase, cut), whole) in
        fitted.phases.iter().zip(&cut).zip(fitted.gradients(&structures, &keys, &loose)?)
    {
        let one = std::slice::from_ref::<druse_models::Objective>;
        fitted.same_objectives(one(&cut.objective), one(&whole.objective), None)?;
        let difference = cut
            .grads
            .iter()
            .zip(&whole.grads)
            .map(|(a, b)| to_host(a.clone() - b.clone()))
            .try_fold(0.0, |sum, d| Ok(sum + d?.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>()))
            .map_err(|e: druse_nn::memory::ComputeError| text(e))?
            .sqrt();
        if difference.is_nan() || difference > fitted.contract.tolerance * whole.norm.max(1e-2) {
            let name = phase.phase.name;
            return Err(format!(
                "phase `{name}`: the gradient, of norm {}, changes by {difference} with the cut",
                whole.norm
            ));
        }
        let mut ahead = Fitted::batch(fitted.trainable(), phase, &structures, &keys);
        ahead.prepare(&tight).map_err(text)?;
        let ahead = ahead.differentiate(&fitted.params, &tight).map_err(text)?;
        if numbers(std::slice::from_ref(&ahead))? != numbers(std::slice::from_ref(cut))? {
            return Err(format!("phase `{}`: preparing ahead changes the gradient", phase.phase.name));
        }
    }
    Ok(format!("gradients of {} structures cut and in one", structures.len()))
}

/// The objective of a batch is the mean over its structures, each alone.
pub(super) fn company(fitted: &Fitted<'_>) -> Finding {
    // A mixture of sizes: structures that are padded or counted together show.
    let structures: Vec<_> = fitted.generic.iter().rev().collect();
    let keys = keys(structures.len(), 0);
    let limit = fitted.loose();
    let together = fitted.objectives(&structures, &keys, &limit)?;
    let model = fitted.trainable();
    for (place, (phase, whole)) in fitted.phases.iter().zip(&together).enumerate() {
        let mut sums = vec![(0.0, 0.0); whole.parts.len()];
        for (s, key) in structures.iter().zip(&keys) {
            let alone = Fitted::batch(model, phase, &[s], &[*key]).evaluate(&fitted.params, &limit);
            let counts = model.phase_loss_counts(place, &[s]);
            for ((sum, count), (part, n)) in
                sums.iter_mut().zip(alone.map_err(text)?.parts.iter().zip(counts))
            {
                *sum += part.1 * n;
                *count += n;
            }
        }
        let counts = model.phase_loss_counts(place, &structures);
        for ((&(name, mean), (sum, n)), count) in whole.parts.iter().zip(sums).zip(counts) {
            if (n - count).abs() > 1e-9 * count {
                return Err(format!("`{name}` has {count} items in a batch, {n} in its structures"));
            }
            let expected = sum / n.max(1.0);
            if !fitted.close(mean, expected) {
                return Err(format!(
                    "`{name}` of a batch is {mean}, the mean over its structures {expected}"
                ));
            }
        }
    }
    let order: Vec<usize> = (0..structures.len()).rev().collect();
    let reordered: Vec<_> = order.iter().map(|&i| structures[i]).collect();
    let other_keys: Vec<NoiseKey> = order.iter().map(|&i| keys[i]).collect();
    let other = fitted.objectives(&reordered, &other_keys, &limit)?;
    let in_order = |e| format!("in another order of the structures: {e}");
    fitted.same_objectives(&together, &other, None).map_err(in_order)?;
    Ok(format!("the objective of {} structures", structures.len()))
}

pub(super) fn noise(fitted: &Fitted<'_>) -> Finding {
    let structures: Vec<_> = fitted.generic.iter().take(4).collect();
    let key = NoiseKey { seed: 3, epoch: 2, index: 5 };
    let limit = fitted.loose();
    let value = |keys: &[NoiseKey]| fitted.objectives(&structures, keys, &limit);
    // Keys, not places: all structures have the same.
    let first = value(&[key; 4])?;
    if first != value(&[key; 4])? {
        return Err("equal keys give another objective at the second time".into());
    }
    let moved = |key: NoiseKey| Ok(value(&[key; 4])? != first);
    let moves: [Result<bool, String>; 3] = [
        moved(NoiseKey { seed: 4, ..key }),
        moved(NoiseKey { epoch: 3, ..key }),
        moved(NoiseKey { index: 6, ..key }),
    ];
    let [seed, epoch, index] = moves;
    match (seed?, epoch?, index?) {
        (true, true, true) => Ok("seed, epoch and index of a key change the objective".into()),
        (false, false, false) => Ok("the objective draws no noise".into()),
        (seed, epoch, index) => Err(format!(
            "the noise has to depend on seed, epoch and index of a key; it depends on: seed {seed}, epoch {epoch}, \
             index {index}"
        )),
    }
}

pub(super) fn threads(fitted: &Fitted<'_>) -> Finding {
    let structures = refs(&fitted.contract.structures);
    let keys = keys(structures.len(), 1);
    let limit = fitted.tight();
    let work = || numbers(&fitted.gradients(&structures, &keys, &limit)?);
    let found = on_threads("gradients", work)?;
    Ok(format!("gradients of {} in {} phases", structures.len(), found.len()))
}

/// Objective and gradient as plain numbers.
type Numbers = Vec<(f64, f64, Vec<Vec<f32>>)>;

fn numbers(gradients: &[Gradient]) -> Result<Numbers, String> {
    let one = |g: &Gradient| {
        let grads = g.grads.iter().map(|t| to_host(t.clone())).collect::<Result<Vec<_>, _>>();
        Ok((g.objective.total, g.norm, grads.map_err(text)?))
    };
    gradients.iter().map(one).collect()
}
