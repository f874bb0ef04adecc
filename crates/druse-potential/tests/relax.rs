//! Relaxations against those of the published package: FIRE on the Fréchet cell filter of the Atomic Simulation Environment, from twelve
//! disturbed crystals, step by step.

use std::path::Path;

use druse_crystal::{Element, Lattice, Structure};
use druse_potential::SevenNet;
use druse_relax::{End, Potential, RelaxSettings, relax};
use druse_testkit::reference::{field, golden_path, json};
use serde_json::Value;

/// What makes the potential of the reference data.
const SEVENNET: Option<fn() -> Box<dyn Potential>> = Some(|| Box::new(SevenNet::shipped()));

/// How far energies may be from the reference's, in eV an atom: along the way, and at the end.
const ON_THE_WAY: f64 = 1e-5;
const AT_THE_END: f64 = 2e-6;

#[test]
fn relaxations_are_those_of_the_published_package() {
    let (Some(make), Some(path)) = (SEVENNET, golden_path("sevennet/relax.json.gz")) else { return };
    check(&*make(), &path);
}

fn start(record: &Value) -> Structure {
    let lattice = Lattice::from_rows(field(record, "cell")).unwrap();
    let positions: Vec<[f64; 3]> = field(record, "positions");
    let species =
        field::<Vec<u8>>(record, "numbers").into_iter().map(|z| Element::from_z(z).unwrap()).collect();
    Structure::new(lattice, species, positions.iter().map(|&r| lattice.to_fractional(r)).collect()).unwrap()
}

fn check(potential: &dyn Potential, path: &Path) {
    let records: Vec<Value> = field(&json(path), "relaxations");
    assert_eq!(records.len(), 12);
    let settings = RelaxSettings { fmax: 0.05, steps: 300, trajectory: true, ..RelaxSettings::default() };
    for record in &records {
        let (id, reference) = (record["id"].as_str().unwrap(), &record["f64"]);
        let relaxed = relax(potential, start(record), &settings);
        assert_eq!(relaxed.end, End::Converged, "{id}");
        let trace: Vec<[f64; 2]> = field(reference, "trace");
        let atoms = relaxed.structure.len() as f64;
        // One step more or less where a norm comes close to the limit.
        let close = trace.iter().any(|[_, fmax]| (fmax - settings.fmax).abs() < 1e-4);
        let apart = (relaxed.steps + 1).abs_diff(trace.len());
        assert!(
            apart <= usize::from(close),
            "{id}: {} steps, the reference {}",
            relaxed.steps,
            trace.len() - 1
        );
        for (frame, [energy, fmax]) in relaxed.trajectory.iter().zip(&trace) {
            let away = (frame.evaluation.energy - energy).abs() / atoms;
            assert!(away < ON_THE_WAY, "{id}, step {}: {away} eV an atom", frame.step);
            assert!((frame.fmax - fmax).abs() < 0.02 * fmax.max(0.05), "{id}, step {}", frame.step);
        }
        let figures = relaxed.figures.unwrap();
        let away = (figures.energy - field::<f64>(reference, "energy")).abs() / atoms;
        assert!(away < AT_THE_END, "{id}: {away} eV an atom at the end");
        let volume: f64 = field(reference, "volume");
        assert!((figures.volume / volume - 1.0).abs() < 1e-3, "{id}: {} against {volume} Å³", figures.volume);
        let stress: [[f64; 3]; 3] = field(reference, "stress_gpa");
        let pairs = figures.stress.iter().flatten().zip(stress.iter().flatten());
        pairs.for_each(|(a, b)| assert!((a - b).abs() < 0.05, "{id}: {a} against {b} GPa"));
        let lattice = Lattice::from_rows(field(reference, "cell")).unwrap();
        for (site, position) in field::<Vec<[f64; 3]>>(reference, "positions").into_iter().enumerate() {
            let apart =
                lattice.min_image(relaxed.structure.frac_coords[site], lattice.to_fractional(position)).0;
            assert!(apart.iter().all(|x| x.abs() < 5e-3), "{id}, site {site}: {apart:?}");
        }
    }
}
