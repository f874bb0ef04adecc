//! Paths of the same methods in an independent implementation.
//!
//! `data/fire_frechet.json`: the Atomic Simulation Environment 3.29, its FIRE on its Fréchet cell filter with all defaults, driven by
//! a separate implementation of the shifted-force Lennard-Jones energy. Start: rock salt of 8 atoms, strained by up to 8 % and
//! displaced by 0.12 Å. `trace` holds energy (eV) and longest generalized force (eV/Å) at every step.

use std::path::Path;

use druse_crystal::{Element, Lattice, Structure};
use druse_relax::pair::{LennardJones, PairPotential};
use druse_relax::{CellMode, End, RelaxSettings, relax};
use druse_testkit::reference::{field, json};
use serde_json::Value;

fn reference() -> (Structure, PairPotential, Vec<Value>) {
    let data = json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fire_frechet.json"));
    let element = |z: u8| Element::from_z(z).unwrap();
    let lattice = Lattice::from_rows(field(&data, "cell")).unwrap();
    let positions: Vec<[f64; 3]> = field(&data, "positions");
    let species = field::<Vec<u8>>(&data, "numbers").into_iter().map(element).collect();
    let start =
        Structure::new(lattice, species, positions.iter().map(|&r| lattice.to_fractional(r)).collect());
    let mut potential = PairPotential::new("salt", field(&data, "cutoff"));
    for ([a, b], [epsilon, sigma]) in field::<Vec<([u8; 2], [f64; 2])>>(&data, "pairs") {
        potential = potential.with(element(a), element(b), LennardJones { epsilon, sigma });
    }
    (start.unwrap(), potential, field(&data, "runs"))
}

#[test]
fn paths_of_fire_are_those_of_the_reference() {
    let (start, potential, runs) = reference();
    assert_eq!(runs.len(), 4);
    for run in runs {
        let cell = match run["mode"].as_str().unwrap() {
            "full" => CellMode::Full,
            "volume" => CellMode::Volume,
            mode => {
                assert_eq!(mode, "fixed");
                CellMode::Fixed
            }
        };
        // Their number for 1 GPa in eV/Å³ differs from ours in the ninth digit; the file gives the pressure in ours.
        let pressure = field(&run, "pressure");
        let settings = RelaxSettings {
            cell,
            pressure,
            fmax: 0.01,
            steps: 200,
            trajectory: true,
            ..RelaxSettings::default()
        };
        let relaxed = relax(&potential, start.clone(), &settings);
        assert_eq!(relaxed.end, End::Converged);
        let trace: Vec<[f64; 2]> = field(&run, "trace");
        assert_eq!(relaxed.trajectory.len(), trace.len(), "{cell:?} at {pressure} GPa");
        assert_eq!(relaxed.steps + 1, trace.len());
        for (frame, [energy, fmax]) in relaxed.trajectory.iter().zip(trace) {
            let at = format!("{cell:?} at {pressure} GPa, step {}", frame.step);
            assert!((frame.evaluation.energy - energy).abs() < 1e-7, "{at}: {}", frame.evaluation.energy);
            assert!((frame.fmax - fmax).abs() < 1e-6 * fmax.max(1.0), "{at}: {} against {fmax}", frame.fmax);
        }
        let rows: [[f64; 3]; 3] = field(&run, "cell");
        let found = relaxed.structure.lattice.rows();
        assert!(found.iter().flatten().zip(rows.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-6));
        let lattice = Lattice::from_rows(rows).unwrap();
        for (site, position) in field::<Vec<[f64; 3]>>(&run, "positions").into_iter().enumerate() {
            let apart =
                lattice.min_image(relaxed.structure.frac_coords[site], lattice.to_fractional(position));
            assert!(apart.0.iter().all(|x| x.abs() < 1e-6), "{cell:?}, site {site}: {:?}", apart.0);
        }
    }
}
