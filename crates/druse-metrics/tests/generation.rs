//! Protocols on small made-up sets: who counts where, and what happens when nobody does.

use druse_crystal::{Composition, Element, Lattice, Structure};
use druse_metrics::{
    Benchmark,
    descriptors::{DescriptorSettings, Descriptors},
    distribution::Bootstrap,
    generation::{GenerationError, Options, Protocol, evaluate},
};

/// A rock-salt-like pair of atoms in a cubic cell of edge `a` (Å), with a made-up fingerprint.
fn pair(formula: [&str; 2], a: f64, fingerprint: Result<f64, &str>) -> Descriptors {
    let species = formula.map(|s| Element::from_symbol(s).unwrap()).to_vec();
    let s = Structure::new(Lattice::cubic(a).unwrap(), species, vec![[0.0; 3], [0.5; 3]]).unwrap();
    let settings = DescriptorSettings { fingerprint: false, symprec: Some(0.1) };
    Descriptors {
        fingerprint: Some(fingerprint.map(|x| vec![x; 61]).map_err(str::to_owned)),
        ..Descriptors::of(&s, &settings)
    }
}

fn reference() -> Vec<Descriptors> {
    (0..8).map(|i| pair(["Na", "Cl"], 4.0 + 0.1 * f64::from(i), Ok(0.01 * f64::from(i)))).collect()
}

#[test]
fn every_kind_of_failure_counts_where_it_should() {
    let generated = [
        pair(["Na", "Cl"], 4.0, Ok(0.0)),
        pair(["Na", "Cl"], 4.1, Ok(0.01)),
        pair(["Na", "Na"], 0.5, Ok(0.02)),
        pair(["Na", "N"], 4.0, Ok(0.02)),
        pair(["Na", "Cl"], 4.0, Err("no Voronoi cell")),
        Descriptors::unbuilt(Composition::parse("NaCl").unwrap(), "a negative length"),
    ];
    let protocol = Protocol::cdvae(Benchmark::Mp20);
    let got = evaluate(&generated, &reference(), &protocol, &Options::default()).unwrap();
    let value = |key| got.value(key).unwrap();
    // NaN with N at -1: neutral, in order. The single element is valid, its distance is not.
    assert!((value("comp_valid") - 1.0).abs() < 1e-12);
    assert!((value("struct_valid") - 4.0 / 6.0).abs() < 1e-12);
    assert!((value("valid") - 3.0 / 6.0).abs() < 1e-12);
    assert_eq!(got.sample, [0, 1, 3]);
    assert!(got.invalid[2].as_ref().unwrap().contains("0.433 Å apart"), "{:?}", got.invalid);
    assert!(got.invalid[4].as_ref().unwrap().contains("no Voronoi cell"));
    assert!(got.invalid[5].as_ref().unwrap().contains("negative length"));
    // Invalid crystals with a fingerprint take part; the denominator holds everyone.
    let placed = got.coverage.as_ref().unwrap();
    assert_eq!(placed.generated, [0, 1, 2, 3]);
    assert_eq!(got.metric("cov_precision").unwrap().of, 6);
    assert!(value("cov_precision") <= 4.0 / 6.0);
    let [generated_symmetry, reference_symmetry] = got.symmetry.as_ref().unwrap();
    assert_eq!((generated_symmetry.total, reference_symmetry.total), (5, 8));
    assert_eq!(got.value("share_p1"), Some(0.0));

    let adaptive = evaluate(&generated, &reference(), &Protocol::adaptive(), &Options::default()).unwrap();
    assert_eq!(adaptive.metric("comp_valid"), None);
    assert_eq!(adaptive.metric("cov_precision").unwrap().of, 3);
    assert_eq!(adaptive.value("cov_precision"), Some(1.0));
    let gemsdiff = evaluate(&generated, &reference(), &Protocol::gemsdiff(), &Options::default()).unwrap();
    assert!((gemsdiff.value("valid").unwrap() - 4.0 / 6.0).abs() < 1e-12);
    assert_eq!(gemsdiff.metric("wdist_density").unwrap().of, 5);
    assert!(gemsdiff.coverage.is_none());
    let symat =
        evaluate(&generated, &reference(), &Protocol::symat(Benchmark::Mp20), &Options::default()).unwrap();
    assert_eq!(symat.metric("wdist_density").unwrap().of, 5);
    assert_eq!(symat.metric("wdist_num_elems").unwrap().of, 6);
}

#[test]
fn nothing_to_measure_is_said_so() {
    let (none, some) = (Vec::new(), reference());
    let protocol = Protocol::cdvae(Benchmark::Mp20);
    let run = |g: &[Descriptors], r: &[Descriptors]| evaluate(g, r, &protocol, &Options::default());
    assert_eq!(run(&none, &some).unwrap_err(), GenerationError::NoGenerated);
    assert_eq!(run(&some, &none).unwrap_err(), GenerationError::NoReference);

    let failed = [Descriptors::unbuilt(Composition::parse("NaCl").unwrap(), "no cell")];
    for (g, r) in [(&failed[..], &some[..]), (&some, &failed), (&failed, &failed)] {
        let got = run(g, r).unwrap();
        for key in ["cov_recall", "amsd_precision", "frechet_crystalnn", "wdist_density"] {
            let metric = got.metric(key).unwrap();
            assert_eq!(metric.value, None, "{key}");
            assert!(metric.problem.is_some(), "{key}");
        }
        assert!(got.value("valid").is_some());
    }
    assert_eq!(run(&some, &failed).unwrap().reference_left_out, [(0, "no cell".to_owned())]);
}

#[test]
fn draws_and_intervals_depend_on_the_seed_alone() {
    let generated: Vec<_> =
        (0..60).map(|i| pair(["Li", "F"], 4.0 + 0.01 * f64::from(i), Ok(0.001 * f64::from(i)))).collect();
    let protocol = Protocol { sample: Some(20), ..Protocol::cdvae(Benchmark::Mp20) };
    let with = |seed, threads| {
        let options = Options { seed, bootstrap: Some(Bootstrap { resamples: 200, ..Bootstrap::default() }) };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| evaluate(&generated, &reference(), &protocol, &options)).unwrap()
    };
    let once = with(1, 1);
    assert_eq!(once, with(1, 3));
    assert_ne!(once.sample, with(2, 1).sample);
    assert_eq!(once.sample.len(), 20);
    let metric = once.metric("wdist_density").unwrap();
    let interval = metric.interval.unwrap();
    assert!(interval.low <= interval.high && interval.high > metric.value.unwrap());
    let valid = once.metric("valid").unwrap();
    assert_eq!(valid.interval.map(|i| (i.low, i.high)), Some((1.0, 1.0)));
}
