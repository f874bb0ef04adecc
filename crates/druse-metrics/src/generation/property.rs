//! Distances between the distributions of a property.

use crate::{
    distribution::{Bootstrap, TwoSamples},
    metric::Metric,
};

/// `wdist_{name}` and `ks_{name}`: the Wasserstein-1 distance (in the property's unit) and the Kolmogorov–Smirnov statistic
/// between a property's values over the valid sample and over the reference.
pub fn property_metrics(
    name: &str,
    generated: &[f64],
    reference: &[f64],
    bootstrap: Option<&Bootstrap>,
) -> [Metric; 2] {
    let two = TwoSamples::new(generated, reference).map_err(|e| e.to_string());
    let protocol = format!("valid sample, property {name}, rows that have it");
    let metric = |key: String, value: &dyn Fn(&TwoSamples) -> f64| {
        let value = two.as_ref().map(value).map_err(Clone::clone);
        Metric::new(key, value, generated.len(), Some(reference.len()), protocol.as_str())
    };
    let interval = two.as_ref().ok().zip(bootstrap).and_then(|(two, b)| two.wasserstein_interval(b));
    [
        metric(format!("wdist_{name}"), &TwoSamples::wasserstein).with_interval(interval),
        metric(format!("ks_{name}"), &TwoSamples::kolmogorov_smirnov),
    ]
}
