//! Sampling with adaptive cells: steps of one crystal of three distinct sites, at the published sizes.

use criterion::{Criterion, criterion_group, criterion_main};
use druse_models::adaptive::{Adaptive, AdaptiveConfig, AdaptiveSampling};
use druse_models::{Conditions, Generator, MicroBatchLimit, SampleRequest, Site, Trainable};
use druse_nn::{Params, device};

fn steps(c: &mut Criterion) {
    // Small steps of cells: a network that was not trained would make them collapse.
    let sampling = AdaptiveSampling { cell_step: 1e-9, ..AdaptiveSampling::default() };
    let model =
        Adaptive::new(AdaptiveConfig::default()).and_then(|m| m.with_sampling(&sampling)).expect("a model");
    let params = Params::init(model.parameters(), 0, &device::cpu());
    let sites: Vec<Site> =
        ["Na", "Cl", "O"].map(|e| Site { element: e.parse().expect("an element"), wyckoff: None }).to_vec();
    for group in [62, 166, 194, 225] {
        let limit = MicroBatchLimit::for_device(params.device());
        let conditions = Conditions::default().and_space_group(group).and_sites(sites.clone());
        let request = SampleRequest::new(conditions, 1, 0);
        let mut sampler = model.sampler(&params, &limit);
        c.bench_function(&format!("group {group}: one of {} steps", sampler.total_steps()), |b| {
            b.iter(|| {
                if sampler.is_empty() {
                    sampler.add(0, &request).expect("a request");
                }
                sampler.step()
            });
        });
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
