//! Latents: of structures, on the way between two structures, moved towards a property.

use std::io::{self, BufRead, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use druse_crystal::{Structure, files};
use druse_metrics::optimization::Goal;
use druse_models::process::Noise;
use druse_models::{Autoencoder, Conditions, ModelError};
use druse_nn::Params;
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::observer::{Event, Observer};
use crate::sample::Target;

/// Which point of its posterior stands for a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The mean.
    Mean,
    /// A draw, as CDVAE's protocol of reconstruction has it.
    Draw {
        /// Seed of the draws.
        seed: u64,
    },
}

/// `candidates` latents of each structure, those of the first structure first.
///
/// # Errors
/// [`ModelError`] when a structure cannot be represented.
pub fn encode(
    model: &dyn Autoencoder,
    params: &Params,
    structures: &[&Structure],
    choice: Choice,
    candidates: usize,
) -> Result<Vec<Vec<f32>>, ModelError> {
    let posteriors = model.encode(params, structures)?;
    let mut latents = Vec::with_capacity(posteriors.len() * candidates);
    for (index, posterior) in (0u64..).zip(&posteriors) {
        for candidate in 0..candidates as u64 {
            latents.push(match choice {
                Choice::Mean => posterior.mean.clone(),
                Choice::Draw { seed } => {
                    let mut noise = Noise::of_epoch(seed, candidate, index);
                    let draw = |(m, v): (&f32, &f32)| m + (0.5 * v).exp() * noise.normal() as f32;
                    posterior.mean.iter().zip(&posterior.log_variance).map(draw).collect()
                }
            });
        }
    }
    Ok(latents)
}

/// Points from the prior.
pub fn prior(model: &dyn Autoencoder, count: usize, seed: u64) -> Vec<Vec<f32>> {
    let draw = |index| {
        let mut noise = Noise::new(seed, index);
        (0..model.latent_width()).map(|_| noise.normal() as f32).collect()
    };
    (0..count as u64).map(draw).collect()
}

/// `points` latents from `a` to `b`, both included, along the great circle between their directions with lengths in
/// between: points of the prior lie near a sphere, and a straight line would leave it. Where there is no plane through
/// both directions (parallel, opposite or zero vectors), the line is straight.
pub fn between(a: &[f32], b: &[f32], points: usize) -> Vec<Vec<f32>> {
    let norm = |x: &[f32]| x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let (na, nb) = (norm(a), norm(b));
    let dot: f64 = a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
    let angle = (dot / (na * nb)).clamp(-1.0, 1.0).acos();
    let curved = angle.is_finite() && angle.sin() > 1e-4;
    let point = |i: usize| {
        let t = i as f64 / points.saturating_sub(1).max(1) as f64;
        let (wa, wb) = if curved {
            let length = (1.0 - t) * na + t * nb;
            let weight = |share: f64, norm: f64| length * (share * angle).sin() / (angle.sin() * norm);
            (weight(1.0 - t, na), weight(t, nb))
        } else {
            (1.0 - t, t)
        };
        a.iter().zip(b).map(|(&x, &y)| (wa * f64::from(x) + wb * f64::from(y)) as f32).collect()
    };
    (0..points).map(point).collect()
}

/// How structures are reconstructed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconstruction {
    /// Latents decoded for each structure.
    pub candidates: usize,
    /// Which points of the posterior they are.
    pub choice: Choice,
    /// Whether the number of atoms is taken from the structure instead of being decoded.
    pub true_atoms: bool,
    /// Whether the species are taken from the structure instead of being decoded.
    pub true_species: bool,
}

impl Default for Reconstruction {
    /// CDVAE's protocol: one draw, everything decoded.
    fn default() -> Self {
        Self { candidates: 1, choice: Choice::Draw { seed: 0 }, true_atoms: false, true_species: false }
    }
}

/// Name of the property of a reconstruction that holds the identifier of the structure.
pub const RECONSTRUCTION_OF: &str = "reconstruction_of";

/// What to sample in order to reconstruct structures with their identifiers: `candidates` targets of each, those of the first
/// structure first.
///
/// # Errors
/// [`ModelError`] when a structure cannot be represented.
pub fn reconstruct(
    model: &dyn Autoencoder,
    params: &Params,
    structures: &[(&str, &Structure)],
    how: &Reconstruction,
) -> Result<Vec<Target>, ModelError> {
    let list: Vec<&Structure> = structures.iter().map(|(_, s)| *s).collect();
    let latents = encode(model, params, &list, how.choice, how.candidates)?;
    let target = |(i, latent): (usize, Vec<f32>)| {
        let (id, structure) = structures[i / how.candidates];
        let mut conditions = Conditions::latent(latent);
        if how.true_species {
            conditions = conditions.and_species(structure.species.iter().copied());
        } else if how.true_atoms {
            conditions = conditions.and_num_atoms(structure.len());
        }
        Target::new(conditions, id).with(RECONSTRUCTION_OF, id)
    };
    Ok(latents.into_iter().enumerate().map(target).collect())
}

/// What to sample in order to go from one structure to another in so many points, both ends included; the place on the way,
/// 0 to 1, is the property `fraction`.
///
/// # Errors
/// [`ModelError`] when a structure cannot be represented.
pub fn interpolate(
    model: &dyn Autoencoder,
    params: &Params,
    ends: [&Structure; 2],
    points: usize,
    choice: Choice,
) -> Result<Vec<Target>, ModelError> {
    let latents = encode(model, params, &ends, choice, 1)?;
    let target = |(i, latent): (usize, Vec<f32>)| {
        let fraction = i as f64 / points.saturating_sub(1).max(1) as f64;
        Target::new(Conditions::latent(latent), format!("fraction {fraction:.3}")).with("fraction", fraction)
    };
    Ok(between(&latents[0], &latents[1], points).into_iter().enumerate().map(target).collect())
}

/// What to sample in order to see where latents lead that are moved towards a property: a target for each snapshot, with the
/// properties `start` (the name of the starting point), `step` and `latent_value` (the property that the model reads off).
///
/// # Errors
/// [`RunError::Property`] for a model that has not learned this property, [`RunError::Interrupted`].
pub fn optimize(
    model: &dyn Autoencoder,
    params: &Params,
    starts: Vec<(String, Vec<f32>)>,
    property: &str,
    descent: &Descent,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Vec<Target>, RunError> {
    if model.property() != Some(property) {
        let learned = model.property().map(str::to_owned);
        return Err(RunError::Property { wanted: property.to_owned(), learned });
    }
    let (names, latents): (Vec<String>, Vec<Vec<f32>>) = starts.into_iter().unzip();
    let target = |s: Snapshot| {
        let (name, step) = (names[s.start].clone(), s.step);
        Target::new(Conditions::latent(s.latent), format!("start {name}, step {step}"))
            .with("start", name)
            .with("step", step)
            .with("latent_value", s.value)
    };
    Ok(descend(model, params, latents, descent, observer, stop)?.into_iter().map(target).collect())
}

/// How latents are moved towards a property.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Descent {
    /// Gradient steps.
    pub steps: u64,
    /// Their size (learning rate of Adam).
    pub lr: f64,
    /// Steps between two snapshots; the first is taken after so many.
    pub every: u64,
    /// Which way the property is to go.
    pub goal: Goal,
    /// What a latent's −ln p under the prior counts, up to a constant ½ ‖z‖², against the property in units of its standard
    /// deviation in the training data. Keeps latents where decoders were trained; 0 in the papers' protocol.
    pub prior: f64,
}

impl Default for Descent {
    /// CDVAE's protocol: 5,000 steps of size 1e-3, ten snapshots.
    fn default() -> Self {
        Self { steps: 5000, lr: 1e-3, every: 500, goal: Goal::Minimize, prior: 0.0 }
    }
}

/// A latent on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Index of the starting point.
    pub start: usize,
    /// Steps made.
    pub step: u64,
    /// The latent.
    pub latent: Vec<f32>,
    /// The property that the model reads off it, in the unit of the training data.
    pub value: f64,
}

/// Moves latents by Adam along the gradient of the property that the model reads off them (CDVAE, section 5.3), plus that of
/// the prior where it counts; returns the snapshots, step by step.
///
/// # Errors
/// [`RunError::Model`] for a model without property, [`RunError::Interrupted`].
pub fn descend(
    model: &dyn Autoencoder,
    params: &Params,
    starts: Vec<Vec<f32>>,
    descent: &Descent,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Vec<Snapshot>, RunError> {
    const BETAS: [f64; 2] = [0.9, 0.999];
    const EPSILON: f64 = 1e-8;
    let sign = match descent.goal {
        Goal::Minimize => 1.0,
        Goal::Maximize => -1.0,
    };
    let mut latents = starts;
    let mut moments: Vec<Vec<[f64; 2]>> = latents.iter().map(|z| vec![[0.0; 2]; z.len()]).collect();
    let mut snapshots = Vec::new();
    for step in 1..=descent.steps {
        if stop.load(Ordering::Relaxed) {
            return Err(RunError::Interrupted);
        }
        let found = model.property_gradient(params, &latents)?;
        let corrections = BETAS.map(|beta| 1.0 - beta.powf(step as f64));
        // The published loss is the mean over the latents.
        let share = 1.0 / latents.len() as f64;
        for ((z, moments), gradient) in latents.iter_mut().zip(&mut moments).zip(&found.gradients) {
            for ((z, moment), &g) in z.iter_mut().zip(moments).zip(gradient) {
                let g = share * (sign * f64::from(g) + descent.prior * f64::from(*z));
                moment[0] = BETAS[0] * moment[0] + (1.0 - BETAS[0]) * g;
                moment[1] = BETAS[1] * moment[1] + (1.0 - BETAS[1]) * g * g;
                let spread = (moment[1] / corrections[1]).sqrt() + EPSILON;
                *z -= (descent.lr * moment[0] / corrections[0] / spread) as f32;
            }
        }
        if step % descent.every == 0 || step == descent.steps {
            let values = model.property_gradient(params, &latents)?.values;
            let of = |(start, (latent, value)): (usize, (&Vec<f32>, f64))| Snapshot {
                start,
                step,
                latent: latent.clone(),
                value,
            };
            snapshots.extend(latents.iter().zip(values).enumerate().map(of));
        }
        let (done, total) = (step as usize, descent.steps as usize);
        observer.observe(Event::Progress { stage: "gradient steps", done, total });
    }
    Ok(snapshots)
}

/// A line of a file of latents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentRecord {
    /// What it is the latent of.
    pub id: String,
    /// Hash of the model in whose latent space it lies.
    pub model: String,
    /// The point.
    pub latent: Vec<f32>,
}

/// Writes latents as JSON Lines.
///
/// # Errors
/// [`RunError::Write`].
pub fn write_latents(path: &Path, records: &[LatentRecord]) -> Result<(), RunError> {
    let mut bytes = Vec::new();
    latent_lines(records, &mut bytes).map_err(RunError::write(path))?;
    Ok(files::write_atomic(path, &bytes)?)
}

/// Writes latents, one a line.
///
/// # Errors
/// The writer's.
pub fn latent_lines(records: &[LatentRecord], out: &mut dyn Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    for record in records {
        serde_json::to_writer(&mut out, record)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Reads latents of a model.
///
/// # Errors
/// [`RunError::Read`]; [`RunError::Damaged`] naming the line, also for a latent of another model.
pub fn read_latents(path: &Path, model: &str, width: usize) -> Result<Vec<LatentRecord>, RunError> {
    let read = |source| RunError::Read { path: path.to_owned(), source };
    let wrong = |line: usize, problem: &str| RunError::Damaged {
        path: path.to_owned(),
        reason: format!("line {line}: {problem}"),
    };
    let mut records = Vec::new();
    for (line, text) in (1..).zip(files::reader(path)?.lines()) {
        let text = text.map_err(read)?;
        if text.trim().is_empty() {
            continue;
        }
        let record: LatentRecord = serde_json::from_str(&text).map_err(|e| wrong(line, &e.to_string()))?;
        if record.model != model {
            let short = |hash: &str| hash.chars().take(12).collect::<String>();
            let (theirs, ours) = (short(&record.model), short(model));
            return Err(wrong(line, &format!("a latent of the model {theirs}…, but the model is {ours}…")));
        }
        if record.latent.len() != width {
            let found = record.latent.len();
            return Err(wrong(
                line,
                &format!("{found} numbers, but the latent space has {width} dimensions"),
            ));
        }
        if record.latent.iter().any(|x| !x.is_finite()) {
            return Err(wrong(line, "a number that is not finite"));
        }
        records.push(record);
    }
    if records.is_empty() {
        return Err(RunError::Damaged { path: path.to_owned(), reason: "it holds no latent".into() });
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_between_latents_keeps_to_the_sphere() {
        let (a, b) = ([3.0f32, 0.0, 0.0], [0.0f32, 5.0, 0.0]);
        let path = between(&a, &b, 5);
        assert_eq!((path.len(), path[0].as_slice()), (5, &a[..]));
        for (i, p) in path.iter().enumerate() {
            let norm = p.iter().map(|x| x * x).sum::<f32>().sqrt();
            assert!((norm - (3.0 + 0.5 * i as f32)).abs() < 1e-5, "{p:?}");
        }
        assert!(path[4].iter().zip(&b).all(|(x, y)| (x - y).abs() < 1e-6));
        // Opposite vectors have no plane.
        assert!(between(&[1.0, 0.0], &[-1.0, 0.0], 3)[1].iter().all(|x| x.abs() < 1e-6));
        assert_eq!(between(&[0.0], &[2.0], 3), [[0.0], [1.0], [2.0]]);
    }

    struct Bowl;

    impl Autoencoder for Bowl {
        fn latent_width(&self) -> usize {
            2
        }

        fn encode(&self, _: &Params, s: &[&Structure]) -> Result<Vec<druse_models::Posterior>, ModelError> {
            let of =
                |_: &&Structure| druse_models::Posterior { mean: vec![1.0; 2], log_variance: vec![0.0; 2] };
            Ok(s.iter().map(of).collect())
        }

        fn property(&self) -> Option<&str> {
            Some("height")
        }

        fn property_gradient(
            &self,
            _: &Params,
            latents: &[Vec<f32>],
        ) -> Result<druse_models::PropertyGradient, ModelError> {
            Ok(druse_models::PropertyGradient {
                values: latents.iter().map(|z| z.iter().map(|&x| f64::from(x * x)).sum()).collect(),
                gradients: latents.iter().map(|z| z.iter().map(|x| 2.0 * x).collect()).collect(),
            })
        }
    }

    #[test]
    fn descent_goes_down_and_takes_its_snapshots() {
        let params = Params::init(&[], 0, &druse_nn::device::cpu());
        let descent = Descent { steps: 25, lr: 0.1, every: 10, ..Descent::default() };
        let go = |goal| {
            let descent = Descent { goal, ..descent };
            let stop = AtomicBool::new(false);
            let starts = vec![vec![2.0, -1.0], vec![0.5, 0.5]];
            descend(&Bowl, &params, starts, &descent, &mut crate::observer::Silent, &stop).unwrap()
        };
        let down = go(Goal::Minimize);
        let places: Vec<_> = down.iter().map(|s| (s.start, s.step)).collect();
        assert_eq!(places, [(0, 10), (1, 10), (0, 20), (1, 20), (0, 25), (1, 25)]);
        assert!(down[0].value > down[2].value && down[2].value > down[4].value && down[4].value < 0.6);
        assert!(go(Goal::Maximize)[4].value > 5.0);
    }

    #[test]
    fn the_prior_holds_latents_back() {
        let params = Params::init(&[], 0, &druse_nn::device::cpu());
        let farthest = |prior| {
            let descent = Descent { steps: 400, lr: 0.05, every: 400, goal: Goal::Maximize, prior };
            let stop = AtomicBool::new(false);
            let starts = vec![vec![2.0, -1.0]];
            let found =
                descend(&Bowl, &params, starts, &descent, &mut crate::observer::Silent, &stop).unwrap();
            found[0].latent.iter().map(|x| x.abs()).fold(0.0, f32::max)
        };
        // The bowl's slope is 2 z: it wins against a prior of 1, and loses against one of 3.
        assert!(farthest(0.0) > 10.0 && farthest(1.0) > 10.0);
        assert!(farthest(3.0) < 0.1);
    }

    #[test]
    fn draws_differ_between_candidates_and_repeat_with_the_seed() {
        let params = Params::init(&[], 0, &druse_nn::device::cpu());
        let cell = druse_crystal::Lattice::cubic(3.0).unwrap();
        let iron = druse_crystal::Element::from_symbol("Fe").unwrap();
        let s = Structure::new(cell, vec![iron], vec![[0.0; 3]]).unwrap();
        let draw = |seed| encode(&Bowl, &params, &[&s, &s], Choice::Draw { seed }, 2).unwrap();
        let latents = draw(3);
        assert_eq!((latents.len(), &latents), (4, &draw(3)));
        for (i, a) in latents.iter().enumerate() {
            assert!(latents[..i].iter().all(|b| a != b));
        }
        assert_eq!(encode(&Bowl, &params, &[&s], Choice::Mean, 1).unwrap(), [[1.0, 1.0]]);
        assert_ne!(draw(4), latents);
    }

    #[test]
    fn latents_of_another_model_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("latents.jsonl");
        let record = LatentRecord { id: "a".into(), model: "one".into(), latent: vec![1.0, -2.5] };
        write_latents(&path, std::slice::from_ref(&record)).unwrap();
        assert_eq!(read_latents(&path, "one", 2).unwrap(), [record]);
        for (model, width, word) in [("two", 2, "model"), ("one", 3, "dimensions")] {
            let message = read_latents(&path, model, width).unwrap_err().to_string();
            assert!(message.contains("line 1") && message.contains(word), "{message}");
        }
        std::fs::write(&path, "{\"id\": \"a\"}\n").unwrap();
        assert!(read_latents(&path, "one", 2).unwrap_err().to_string().contains("line 1"));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(read_latents(&path, "one", 2), Err(RunError::Damaged { .. })));
    }
}
