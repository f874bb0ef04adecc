//! Neighbor lists, cell reduction and symmetry: on a fixed small cell, and over a whole data set
//! (`mp_20_bt` train of the shared data: `$DRUSE_SHARED`, else `shared` beside the repository) when it is there.
//! Throughput is in structures.

use std::hint::black_box;

use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use druse_crystal::{
    Lattice, Structure,
    formats::{Format, read_str},
    k_nearest, niggli,
    symmetry::analyze,
    within_cutoff,
};
use druse_testkit::prototypes::quartz;
use druse_testkit::reference::{read_text, shared_dir};
use nalgebra::Matrix3;

/// The structures of `mp_20_bt` train in the cells they are trained in.
fn mp_20() -> Option<Vec<Structure>> {
    let text = read_text(&shared_dir()?.join("data/mp_20_bt/train.csv.gz"));
    let cifs = text.split("\"# generated").skip(1).filter_map(|rest| rest.split('"').next());
    let read = |cif: &str| {
        let parsed = read_str(&format!("# generated{cif}"), Format::Cif).expect("a valid CIF");
        parsed[0].structure.canonical().expect("a reducible cell")
    };
    Some(cifs.map(read).collect())
}

fn suite(group: &mut BenchmarkGroup<'_, WallTime>, structures: &[Structure]) {
    group.throughput(Throughput::Elements(structures.len() as u64));
    group.bench_function("32 nearest", |b| {
        b.iter(|| {
            structures
                .iter()
                .map(|s| k_nearest(&s.lattice, &s.frac_coords, 32).unwrap().neighbors.len())
                .sum::<usize>()
        });
    });
    group.bench_function("within 6 Å", |b| {
        b.iter(|| {
            structures
                .iter()
                .map(|s| within_cutoff(&s.lattice, &s.frac_coords, 6.0).unwrap().neighbors.len())
                .sum::<usize>()
        });
    });
    // A skewed description of each cell, so that there is something to reduce.
    let shear = Matrix3::new(1.0, 2.0, -1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0);
    let sheared: Vec<Lattice> = structures
        .iter()
        .map(|s| Lattice::from_matrix(shear * s.lattice.matrix()).expect("a valid cell"))
        .collect();
    group.bench_function("Niggli", |b| {
        b.iter(|| sheared.iter().filter(|l| niggli(black_box(l)).is_ok()).count());
    });
    // Half a millisecond a structure: a part of a data set will do.
    let part: Vec<&Structure> = structures.iter().step_by(20).collect();
    group.throughput(Throughput::Elements(part.len() as u64));
    group.bench_function("symmetry", |b| {
        b.iter(|| part.iter().filter(|s| analyze(s, 0.01).is_ok()).count());
    });
}

fn geometry(c: &mut Criterion) {
    let mut group = c.benchmark_group("quartz");
    suite(&mut group, &[quartz()]);
    // The cell that a sampler on fractional coordinates works in.
    let unit = Lattice::cubic(1.0).expect("a valid cell");
    let frac = quartz().frac_coords;
    group.bench_function("32 nearest, identity cell", |b| {
        b.iter(|| k_nearest(&unit, black_box(&frac), 32).unwrap())
    });
    group.finish();
    if let Some(structures) = mp_20() {
        let mut group = c.benchmark_group("mp_20_bt train");
        group.sample_size(10);
        suite(&mut group, &structures);
        group.finish();
    }
}

criterion_group!(benches, geometry);
criterion_main!(benches);
