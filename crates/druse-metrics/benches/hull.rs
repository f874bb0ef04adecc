//! Phase diagrams of 50,000 made-up compounds of two to five elements, and what they are asked for: the energy above hull of
//! every entry, and of 10,000 other compositions over all chemical systems.

use criterion::{Criterion, criterion_group, criterion_main};
use druse_crystal::{Composition, Element};
use druse_metrics::phase_diagram::{PhaseDiagram, PhaseEntry};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

const ENTRIES: usize = 50_000;
const QUERIES: usize = 10_000;
/// Number of elements that compounds are made of.
const ELEMENTS: u8 = 60;

/// A compound; the fewer elements there are to choose from, the more entries a system has.
fn composition(rng: &mut ChaCha8Rng) -> Composition {
    let n = [2, 2, 3, 3, 3, 3, 4, 4, 5][rng.random_range(0..9)];
    let element = |rng: &mut ChaCha8Rng| Element::from_z(rng.random_range(1..=ELEMENTS)).expect("an element");
    Composition::from_counts((0..n).map(|_| (element(rng), rng.random_range(1..7))))
}

fn hull(c: &mut Criterion) {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut entries: Vec<PhaseEntry> =
        (1..=ELEMENTS).map(|z| PhaseEntry::element(Element::from_z(z).expect("an element"))).collect();
    for k in 0..ENTRIES {
        let composition = composition(&mut rng);
        entries.push(PhaseEntry::per_atom(k.to_string(), composition, rng.random_range(-2.0..0.2)));
    }
    let queries: Vec<Composition> = (0..QUERIES).map(|_| composition(&mut rng)).collect();
    let diagram = PhaseDiagram::new(entries.clone()).expect("sound entries");

    let mut group = c.benchmark_group("hull");
    group.sample_size(10);
    group.bench_function("50,000 entries, all systems", |b| {
        b.iter(|| PhaseDiagram::new(entries.clone()).expect("sound entries").stable_entries().count());
    });
    group.bench_function("energy above hull of 50,000 entries", |b| {
        b.iter(|| -> f64 {
            let above = |i| diagram.entry_above_hull(i).expect("elements are there");
            (0..diagram.entries().len()).into_par_iter().map(above).sum()
        });
    });
    group.bench_function("10,000 queries", |b| {
        b.iter(|| -> f64 {
            let hull = |c| diagram.hull(c).expect("elements are there").energy_per_atom;
            queries.par_iter().map(hull).sum()
        });
    });
    group.finish();
}

criterion_group!(benches, hull);
criterion_main!(benches);
