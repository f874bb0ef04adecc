//! Comparison with evaluations of the published code, whose networks are those of imagen-pytorch 1.11.15.
//!
//! There are files of both networks at a small size (modules, loss, gradients, steps of the sampler, the whole cascade), of
//! each network at the published size, and of the schedules. Sums over an array that may cancel are compared relative to the
//! size of the array's numbers.

mod full;
mod schedules;
mod small;
mod values;

use burn::tensor::Device;
use serde_json::Value;

use crate::reference::{Beside, ParityError, ParityReport, ReferenceFiles};

/// The files of the cascade.
pub(super) const FILES: ReferenceFiles =
    ReferenceFiles { name: "imagen-pytorch (CrysTens)", recognizes: |head| form(head).is_some(), compare };

/// The library whose networks these are.
const LIBRARY: &str = "imagen-pytorch";
const VERSION: &str = "1.11.15";

enum Form {
    Small,
    Full,
    Schedules,
}

fn form(head: &Value) -> Option<Form> {
    let library = head["config"]["library"].as_str().is_some_and(|name| name.starts_with(LIBRARY));
    match () {
        () if library && head.get("parameters_stage1").is_some() => Some(Form::Small),
        () if library && head["config"].get("stage").is_some() => Some(Form::Full),
        () if head.get("cosine").is_some() && head.get("posterior").is_some() => Some(Form::Schedules),
        () => None,
    }
}

fn compare(head: &Value, beside: Beside<'_>, device: &Device) -> Result<ParityReport, ParityError> {
    let library = head["config"]["library"].as_str().unwrap_or_default();
    let form = form(head).ok_or_else(|| ParityError::Format("it has none of the known forms".into()))?;
    if !matches!(form, Form::Schedules) && !library.ends_with(VERSION) {
        let available = format!("{LIBRARY} {VERSION}");
        return Err(ParityError::Network { name: library.to_owned(), available });
    }
    let mut report = ParityReport { outputs: Vec::new(), skipped: Vec::new(), crystals: 0 };
    match form {
        Form::Small => small::compare(head, beside, device, &mut report)?,
        Form::Full => full::compare(head, beside, device, &mut report)?,
        Form::Schedules => schedules::compare(head, &mut report)?,
    }
    Ok(report)
}
