//! Odd crystals get metrics or reasons, never a panic and never an endless search.

use druse_crystal::{Element, Lattice, Structure};
use druse_metrics::{
    Benchmark,
    descriptors::{DescriptorSettings, Descriptors},
    generation::{Options, Protocol, evaluate},
    validity::{StructureFault, StructureRule},
};

fn crystal(parameters: [f64; 6], species: &[&str], frac: Vec<[f64; 3]>) -> Structure {
    let species = species.iter().cycle().take(frac.len()).map(|s| Element::from_symbol(s).unwrap()).collect();
    Structure::new(Lattice::from_parameters(parameters).unwrap(), species, frac).unwrap()
}

/// Points that fill the cell evenly.
fn spread(n: usize) -> Vec<[f64; 3]> {
    (0..n)
        .map(|i| [0.819_172_513_4, 0.671_043_606_7, 0.549_700_477_9].map(|x| (x * i as f64).fract()))
        .collect()
}

fn odd() -> Vec<(&'static str, Structure)> {
    let cube = |a: f64| [a, a, a, 90.0, 90.0, 90.0];
    let mut nan = crystal(cube(4.0), &["Na", "Cl"], vec![[0.0; 3], [0.5; 3]]);
    nan.frac_coords[1][2] = f64::NAN;
    vec![
        ("NaN", nan),
        ("single atom", crystal(cube(3.0), &["Fe"], vec![[0.0; 3]])),
        ("300 atoms", crystal(cube(15.0), &["Si", "O", "O"], spread(300))),
        ("coincident", crystal(cube(4.0), &["Na", "Cl"], vec![[0.25; 3], [0.25; 3]])),
        ("all in one spot", crystal(cube(4.0), &["H"], vec![[0.0; 3]; 20])),
        ("one spot but for rounding", crystal(cube(4.0), &["H"], vec![[0.0; 3], [1e-13, 0.0, 0.0]])),
        ("huge", crystal(cube(1e4), &["Na", "Cl"], vec![[0.0; 3], [0.5; 3]])),
        ("tiny", crystal(cube(1e-3), &["Na", "Cl"], vec![[0.0; 3], [0.5; 3]])),
        ("smaller than an atom", crystal(cube(0.3), &["Na", "Cl"], vec![[0.0; 3], [0.5; 3]])),
        ("needle", crystal([0.2, 30.0, 30.0, 90.0, 90.0, 90.0], &["Na", "Cl"], spread(6))),
        ("plate", crystal([20.0, 20.0, 0.3, 90.0, 90.0, 90.0], &["Na", "Cl"], spread(6))),
        ("skewed", crystal([5.0, 5.0, 5.0, 3.0, 3.0, 4.0], &["Na", "Cl"], spread(4))),
        ("nearly flat", crystal([5.0, 6.0, 7.0, 119.9, 119.9, 119.9], &["Na", "Cl"], spread(4))),
        ("beyond the tables", crystal(cube(6.0), &["Og", "Rf"], spread(2))),
        ("many elements", {
            let all: Vec<&str> = Element::all().map(Element::symbol).collect();
            crystal(cube(14.0), &all, spread(118))
        }),
    ]
}

#[test]
fn every_odd_crystal_is_described_and_counted() {
    let settings = DescriptorSettings::default();
    let described: Vec<Descriptors> = odd().iter().map(|(_, s)| Descriptors::of(s, &settings)).collect();
    let fault = |name: &str, rule| {
        let at = odd().iter().position(|(n, _)| *n == name).unwrap();
        described[at].structure_fault(rule)
    };
    assert_eq!(fault("NaN", StructureRule::Cdvae), Some(StructureFault::NotFinite));
    assert_eq!(fault("single atom", StructureRule::Strict), None);
    assert_eq!(fault("coincident", StructureRule::Cdvae), Some(StructureFault::Distance(0.0)));
    assert!(matches!(fault("tiny", StructureRule::Cdvae), Some(StructureFault::Distance(_))));
    assert!(matches!(fault("needle", StructureRule::Strict), Some(StructureFault::OwnImage(_))));
    assert_eq!(fault("huge", StructureRule::Strict), None);

    let good = crystal([4.0, 4.0, 4.0, 90.0, 90.0, 90.0], &["Na", "Cl"], vec![[0.0; 3], [0.5; 3]]);
    let reference = [Descriptors::of(&good, &settings)];
    for protocol in [
        Protocol::cdvae(Benchmark::Mp20),
        Protocol::symat(Benchmark::Perov5),
        Protocol::adaptive(),
        Protocol::gemsdiff(),
        Protocol::strict(Benchmark::Carbon24),
    ] {
        for (generated, reference) in [(&described[..], &reference[..]), (&reference, &described)] {
            let got = evaluate(generated, reference, &protocol, &Options::default()).unwrap();
            assert_eq!(got.invalid.len(), generated.len());
            for metric in &got.metrics {
                assert_ne!(metric.value.is_some(), metric.problem.is_some(), "{metric:?}");
                assert!(metric.value.is_none_or(f64::is_finite), "{metric:?}");
            }
        }
    }
    // Everything survives being written and read.
    for d in &described {
        let text = serde_json::to_string(d).unwrap();
        let read: Descriptors = serde_json::from_str(&text).unwrap();
        assert_eq!(read.composition, d.composition);
        assert_eq!(read.fingerprint, d.fingerprint);
    }
}
