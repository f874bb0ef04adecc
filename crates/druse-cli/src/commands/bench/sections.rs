//! What each section does.

use std::hint::black_box;
use std::time::Duration;

use druse_crystal::Structure;
use druse_metrics::fingerprint::crystalnn;
use druse_metrics::matcher::StructureMatcher;
use druse_models::{Batch, BatchStatistics, MicroBatchLimit, TrainingPhase};
use druse_nn::optim::{Adam, AdamConfig, Ema};
use rayon::prelude::*;

use super::report::Measured;
use super::subject::{Subject, distorted, noise, requests};
use super::timing::{Meter, Work, repeat, timed};
use crate::failure::Failure;

/// A training step, or one update of the first phase of a step of several. With an accelerator the host prepares the next
/// batch meanwhile, as in training. A model that normalizes over a batch has no step of one structure: its batch is measured.
pub fn train(subject: &Subject, meter: &Meter) -> Result<Measured, Failure> {
    let (model, optim) = (subject.generator.as_ref(), &subject.config.optim);
    let host = subject.on_host();
    let phase = TrainingPhase::all(model)?.swap_remove(0);
    let whole = model.batch_statistics() == BatchStatistics::Whole;
    meter.measure(subject, |batch| {
        let batch = if whole { subject.batch() } else { batch };
        let (limit, phase) = (subject.limit(), phase.clone());
        let mut params = subject.params.clone();
        let mut adam = Adam::of_group(&params, &phase.group, AdamConfig::default());
        let mut ema = Ema::new(&params, optim.ema_decay);
        let mut epoch = 0;
        let mut next_batch = move |limit: &MicroBatchLimit| {
            epoch += 1;
            let mut next = Batch::new(model, batch.clone(), noise(&batch, epoch)).of_phase(&phase);
            if !host {
                next.prepare(limit)?;
            }
            Ok::<_, Failure>(next)
        };
        let mut ready = Some(next_batch(&limit)?);
        Ok(Box::new(move || {
            timed(|| {
                let Some(now) = ready.take() else { return Err(Failure::environment("no batch is ready")) };
                let step = || -> Result<(), Failure> {
                    let mut gradient = now.differentiate(&params, &limit)?;
                    if let Some(limit) = optim.clip_norm {
                        gradient.clip(limit);
                    }
                    params.apply_rewrites(&mut gradient.buffers);
                    adam.step(&mut params, &gradient.grads, optim.lr);
                    ema.update(&params);
                    Ok(())
                };
                let (done, next) = if host {
                    (step(), next_batch(&limit))
                } else {
                    rayon::join(step, || next_batch(&limit))
                };
                done?;
                ready = Some(next?);
                Ok(())
            })
        }) as Work<'_>)
    })
}

/// A step of sampling with the whole batch in flight.
pub fn sample(subject: &Subject, meter: &Meter) -> Result<Measured, Failure> {
    let limit = subject.limit();
    let total = subject.generator.sampler(&subject.params, &limit).total_steps();
    let measured = meter.measure(subject, |batch| {
        let requests = requests(subject.generator.as_ref(), &batch)?;
        let mut sampler = subject.generator.sampler(&subject.params, &limit);
        Ok(Box::new(move || {
            if sampler.is_empty() {
                for (slot, request) in (0..).zip(&requests) {
                    sampler.add(slot, request)?;
                }
            }
            timed(|| {
                black_box(sampler.step());
                Ok(())
            })
        }) as Work<'_>)
    })?;
    Ok(Measured { sampling_steps: Some(total), ..measured })
}

/// The networks and the loss, without gradient; graphs are made beforehand and not counted.
pub fn forward(subject: &Subject, meter: &Meter) -> Result<Measured, Failure> {
    let model = subject.generator.as_ref();
    let limit = &subject.limit();
    meter.measure(subject, |batch| {
        let mut epoch = 0;
        Ok(Box::new(move || {
            epoch += 1;
            let mut next = Batch::new(model, batch.clone(), noise(&batch, epoch));
            next.prepare(limit)?;
            timed(|| Ok(next.evaluate(&subject.params, limit)?))
        }) as Work<'_>)
    })
}

/// Neighbor search and multigraph of each structure in its own cell.
pub fn graph(subject: &Subject, meter: &Meter) -> Result<Measured, Failure> {
    let model = subject.generator.as_ref();
    let build = |s: &&Structure| model.graph(s).ok().flatten();
    let measured = meter.measure(subject, |batch| {
        Ok(Box::new(move || {
            timed(|| {
                batch.par_iter().for_each(|s| {
                    black_box(build(s));
                });
                Ok(())
            })
        }) as Work<'_>)
    })?;
    let edges: usize =
        subject.batch().par_iter().map(|s| build(s).map_or(0, |graph| graph.num_edges())).sum();
    // All the work of a training batch that is independent of the weights.
    let (batch, limit) = (subject.batch(), subject.limit());
    let mut prepare = || timed(|| Ok(Batch::new(model, batch.clone(), noise(&batch, 1)).prepare(&limit)?));
    prepare()?;
    Ok(Measured {
        edges: Some(edges),
        ns_per_edge: Some(1e9 * measured.seconds / edges.max(1) as f64),
        prepare_seconds: Some(repeat(meter.seconds / 5.0, &mut prepare)?.seconds),
        ..measured
    })
}

/// CrystalNN fingerprints of the structures; pairs of a structure and a distorted copy for the matcher.
pub fn evaluate(subject: &Subject, meter: &Meter) -> Result<Measured, Failure> {
    let measured = meter.measure(subject, |batch| {
        Ok(Box::new(move || {
            timed(|| {
                // A structure without a fingerprint takes its time too.
                batch.par_iter().for_each(|s| {
                    black_box(crystalnn::fingerprint(s)).ok();
                });
                Ok(())
            })
        }) as Work<'_>)
    })?;
    let matcher = StructureMatcher::CDVAE;
    let pairs: Vec<(Structure, Structure)> =
        subject.structures.iter().map(|s| (s.clone(), distorted(s))).collect();
    let mut compare = || -> Result<Duration, Failure> {
        timed(|| {
            pairs.par_iter().for_each(|(a, b)| {
                black_box(matcher.rms(&matcher.prepare(a), &matcher.prepare(b)));
            });
            Ok(())
        })
    };
    compare()?;
    let seconds = repeat(meter.seconds, &mut compare)?.seconds;
    Ok(Measured { matcher_pairs_per_second: Some(pairs.len() as f64 / seconds), ..measured })
}
