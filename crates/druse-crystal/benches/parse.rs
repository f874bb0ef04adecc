//! Reading and writing structure files.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use druse_crystal::formats::{Format, read_str, write};
use druse_crystal::{Composition, Element, Lattice, Structure};

/// A triclinic cell of `n` atoms of three elements, spread by a low-discrepancy sequence.
fn structure(n: usize) -> Structure {
    let lattice = Lattice::from_parameters([5.1, 6.2, 7.3, 84.0, 95.0, 101.0]).expect("a valid cell");
    let elements = [3i64, 26, 8].map(|z| Element::from_z(z).expect("an element"));
    let species = (0..n).map(|i| elements[i % 3]).collect();
    let coords = (0..n)
        .map(|i| [0.819_172_513_4, 0.671_043_606_7, 0.549_700_477_9].map(|x| x * (i + 1) as f64))
        .collect();
    Structure::new(lattice, species, coords).expect("a valid structure")
}

fn formats(c: &mut Criterion) {
    let s = structure(20);
    let mut group = c.benchmark_group("20 atoms");
    for format in Format::all() {
        let text = write(&s, format, "bench");
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("read {format}"), |b| {
            b.iter(|| read_str(black_box(&text), format).expect("readable"));
        });
        group.bench_function(format!("write {format}"), |b| b.iter(|| write(black_box(&s), format, "bench")));
    }
    group.finish();

    let rock_salt = "data_NaCl\n_symmetry_Int_Tables_number 225\n_cell_length_a 5.64\n_cell_length_b 5.64\n\
        _cell_length_c 5.64\n_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\nloop_\n\
        _atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nNa1 0 0 0\nCl1 .5 .5 .5\n";
    c.bench_function("read cif, 192 operations from the number", |b| {
        b.iter(|| read_str(black_box(rock_salt), Format::Cif).expect("readable"));
    });
    let large = write(&structure(1000), Format::Cif, "large");
    c.bench_function("read cif, 1000 atoms", |b| {
        b.iter_batched(|| &large, |t| read_str(t, Format::Cif).expect("readable"), BatchSize::LargeInput);
    });
    c.bench_function("parse formula", |b| {
        b.iter(|| Composition::parse(black_box("K4[Fe(CN)6](H2O)3")).expect("a formula"));
    });
}

criterion_group!(benches, formats);
criterion_main!(benches);
