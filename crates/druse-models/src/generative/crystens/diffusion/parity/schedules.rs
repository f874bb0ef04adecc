//! Schedules, loss weights and coefficients of the reverse process.

use serde::Deserialize;
use serde_json::Value;

use super::super::super::parity::format;
use super::super::schedule::{LossWeight, ReverseStep, Schedule, alpha_sigma};
use crate::reference::file::read;
use crate::reference::report::Output;
use crate::reference::{ParityError, ParityReport};

#[derive(Deserialize)]
struct Posterior {
    t: [usize; 2],
    t_next: [usize; 2],
}

pub(super) fn compare(head: &Value, report: &mut ParityReport) -> Result<(), ParityError> {
    for (name, schedule) in [("cosine", Schedule::Cosine), ("linear", Schedule::Linear)] {
        let listed = &head[name];
        let times: Vec<f64> = read(&listed["t"])?;
        let log_snr: Vec<f64> = times.iter().map(|&t| schedule.log_snr(t)).collect();
        let part = |k: usize| Output::numbers(log_snr.iter().map(move |&l| alpha_sigma(l)[k]));
        report.record(&format!("{name}.alpha"), &part(0), &listed["alpha"]);
        report.record(&format!("{name}.sigma"), &part(1), &listed["sigma"]);
        report.record(&format!("{name}.log_snr"), &Output::Numbers(log_snr), &listed["log_snr"]);
        // The library in 32 bits, whose π is another.
        report.skip(&format!("{name}.log_snr_float32"));
    }
    let listed = &head["loss_weight"];
    let times: Vec<f64> = read(&listed["t"])?;
    for (key, weight) in [("v1_11_15_p2", LossWeight::P2), ("v2_1_0_min_snr_5", LossWeight::MinSnr)] {
        let values = times.iter().map(|&t| weight.at(Schedule::Cosine.log_snr(t)));
        report.record(&format!("loss_weight.{key}"), &Output::numbers(values), &listed[key]);
    }
    for entry in head["posterior"].as_array().into_iter().flatten() {
        let Posterior { t: [k, n], t_next: [next, steps] } = read(entry)?;
        if n != steps || k != next + 1 || k > n {
            return Err(format("a step of the posterior is none of a grid"));
        }
        let step = ReverseStep::of(n - k, n);
        // The last step adds no noise, but has a variance.
        for (key, value) in [
            ("coefficient_x_t", step.of_noisy),
            ("coefficient_x0", step.of_clean),
            ("variance", step.variance),
            ("log_variance_clipped", step.variance.max(1e-20).ln()),
        ] {
            report.record(&format!("posterior.{key}"), &Output::numbers([value]), &entry[key]);
        }
    }
    Ok(())
}
