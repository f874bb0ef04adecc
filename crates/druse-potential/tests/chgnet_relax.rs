//! Relaxations against those of the published package: FIRE on the Fréchet cell filter, in 32 bits, from fifteen disturbed
//! crystals.

#[allow(dead_code, reason = "shared by several files of tests")]
mod common;

use common::structure;
use druse_crystal::Lattice;
use druse_potential::CHGNet;
use druse_relax::{End, RelaxSettings, relax};
use druse_testkit::reference::{field, golden_path, json};
use serde_json::Value;

/// How far the energies of the first steps may be from the reference's (eV), and how many of them are compared.
const FIRST: (f64, usize) = (1e-4, 10);
/// How far energies may be at the end (eV/atom), and the relative difference of volumes.
const AT_THE_END: (f64, f64) = (2e-3, 1e-2);

#[test]
fn relaxations_are_those_of_the_published_package() {
    let Some(path) = golden_path("surrogates/chgnet/relaxations.json.gz") else { return };
    let records: Vec<Value> = field(&json(&path), "structures");
    assert_eq!(records.len(), 15);
    let settings = RelaxSettings { fmax: 0.1, steps: 500, trajectory: true, ..RelaxSettings::default() };
    let potential = CHGNet::shipped();
    let mut same = 0;
    for record in &records {
        let (id, reference) = (&record["id"], &record["chgnet_fire_frechet"]);
        let relaxed = relax(&potential, structure(record), &settings);
        assert_eq!(relaxed.end, End::Converged, "{id}");
        let energies: Vec<f64> = field(reference, "energies");
        let mut first = 0.0_f64;
        for (frame, energy) in relaxed.trajectory.iter().zip(&energies).take(FIRST.1) {
            first = first.max((frame.evaluation.energy - energy).abs());
        }
        let atoms = relaxed.structure.len() as f64;
        let figures = relaxed.figures.unwrap();
        let away = (figures.energy - field::<f64>(reference, "final_energy")).abs() / atoms;
        let volume = (figures.volume / field::<f64>(reference, "final_volume") - 1.0).abs();
        let lattice = Lattice::from_rows(field(reference, "final_lattice")).unwrap();
        let places: Vec<[f64; 3]> = field(reference, "final_frac_coords");
        let apart = |(ours, theirs): (&[f64; 3], &[f64; 3])| {
            lattice.min_image(*ours, *theirs).0.iter().map(|x| x * x).sum::<f64>().sqrt()
        };
        let farthest = relaxed.structure.frac_coords.iter().zip(&places).map(apart).fold(0.0, f64::max);
        let (steps, wanted) = (relaxed.steps, field::<usize>(reference, "n_optimizer_steps"));
        eprintln!(
            "{id}: {steps} steps ({wanted}), first {first:.1e} eV, end {away:.1e} eV/atom, volume {volume:.1e}, sites {farthest:.1e} Å"
        );
        assert!(first < FIRST.0, "{id}: {first} eV on the way");
        let [moments, own] =
            [field::<Vec<f64>>(reference, "final_magmoms"), figures.magnetic_moments.unwrap()];
        assert_eq!(moments.len(), own.len());
        same += usize::from(away < AT_THE_END.0 && volume < AT_THE_END.1 && farthest < 0.1);
    }
    assert!(same * 100 >= 95 * records.len(), "{same} of {} end where the published ones do", records.len());
}
