//! Crystals and files that are not as they should be.

#[allow(dead_code, reason = "shared by several files of tests")]
mod common;

use common::rattled;
use druse_crystal::{Lattice, Structure};
use druse_nn::weights::WeightFile;
use druse_potential::SevenNet;
use druse_potential::sevennet::{LoadError, Weights};
use druse_relax::{Potential, PotentialError};
use druse_testkit::prototypes::{cubic, element, prototype};

#[test]
fn unknown_elements_are_named_and_others_are_not_disturbed() {
    let potential = SevenNet::shipped();
    assert_eq!(potential.name(), "sevennet");
    assert_eq!(potential.cutoff(), 5.0);
    assert!(potential.knows(element("Pu")) && !potential.knows(element("Po")));
    let fine = prototype("NaCl");
    let results = potential.evaluate(&[fine.clone(), prototype("Po"), fine.clone()]);
    let error = results[1].as_ref().unwrap_err();
    assert_eq!(error.to_string(), "sevennet does not know the element Po");
    assert!(matches!(error, PotentialError::UnknownElement { .. }));
    assert_eq!(results[0], results[2]);
    assert!(results[0].is_ok());
    assert!(potential.evaluate(&[]).is_empty());
}

#[test]
fn an_atom_alone_has_an_energy_and_no_forces() {
    let potential = SevenNet::shipped();
    let alone = cubic(12.0, &[("Fe", [0.1, 0.2, 0.3])]);
    let result = potential.evaluate(&[alone]).remove(0).unwrap();
    assert!(result.energy.is_finite() && result.energy.abs() < 20.0, "{}", result.energy);
    assert_eq!((result.forces, result.stress), (vec![[0.0; 3]], [[0.0; 3]; 3]));
    // Two that do not see each other have the sum of their energies.
    let far = |sites: &[_]| potential.evaluate(&[cubic(20.0, sites)]).remove(0).unwrap().energy;
    let (a, b) = (("Fe", [0.0; 3]), ("O", [0.5; 3]));
    assert!((far(&[a, b]) - far(&[a]) - far(&[b])).abs() < 1e-9);
}

#[test]
fn overlapping_atoms_have_finite_results_or_a_reason() {
    let potential = SevenNet::shipped();
    for apart in [0.0, 1e-300, 1e-12, 1e-7, 1e-4, 1e-2, 0.3, 0.499_999, 0.5, 0.500_001] {
        let pair = cubic(8.0, &[("Si", [0.0; 3]), ("O", [apart / 8.0, 0.0, 0.0])]);
        match potential.evaluate(&[pair]).remove(0) {
            Ok(result) => {
                assert!(result.energy.is_finite());
                assert!(result.forces.iter().flatten().all(|f| f.is_finite()));
            }
            Err(error) => assert!(matches!(error, PotentialError::NotFinite { .. }), "{apart}: {error}"),
        }
    }
    let same = cubic(8.0, &[("Si", [0.25; 3]), ("O", [0.25; 3])]);
    let error = potential.evaluate(&[same]).remove(0).unwrap_err();
    assert!(error.to_string().contains("no finite force on sites on one spot"), "{error}");
}

#[test]
fn cells_that_collapse_have_a_reason() {
    let potential = SevenNet::shipped();
    for edges in [[0.01, 0.01, 0.01], [4.0, 4.0, 1e-6], [1e-4, 1e4, 1.0]] {
        let mut rows = [[0.0; 3]; 3];
        (0..3).for_each(|k| rows[k][k] = edges[k]);
        let lattice = Lattice::from_rows(rows).unwrap();
        let cell = Structure::new(lattice, vec![element("Cu")], vec![[0.0; 3]]).unwrap();
        let error = potential.evaluate(&[cell]).remove(0).unwrap_err();
        assert!(matches!(error, PotentialError::Neighbors(_)), "{edges:?}: {error}");
    }
    // Sites that are no places do not come from `Structure::new`, but fields are public.
    let mut broken = rattled(&prototype("NaCl"), 0.01, 0.01, 3);
    broken.frac_coords[0][1] = f64::NAN;
    let error = potential.evaluate(&[broken]).remove(0).unwrap_err();
    assert!(matches!(error, PotentialError::NotFinite { .. }));
}

#[test]
fn files_that_are_no_potential_are_refused() {
    let weights = SevenNet::shipped_weights();
    let file = weights.file();
    let config = weights.config().clone();

    let mut missing = file.clone();
    missing.tensors.remove("2_convolution.denominator");
    let error = Weights::new(config.clone(), missing).unwrap_err().to_string();
    assert!(error.contains("`2_convolution.denominator` is missing"), "{error}");

    let mut short = file.clone();
    if let Some((_, values)) = short.tensors.get_mut("reduce_hidden_to_energy.linear.weight") {
        values.pop();
    }
    let error = Weights::new(config.clone(), short).unwrap_err().to_string();
    assert!(error.contains("has 63 numbers, expected 64"), "{error}");

    let mut broken = file.clone();
    if let Some((_, values)) = broken.tensors.get_mut("edge_embedding.basis_function.coeffs") {
        values[3] = f32::NAN;
    }
    assert!(Weights::new(config, broken).unwrap_err().to_string().contains("no finite number"));

    let folder = std::env::temp_dir().join(format!("druse-sevennet-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("w.safetensors");
    weights.write(&path).unwrap();
    assert_eq!(Weights::read(&path).unwrap().file().tensors, file.tensors);
    let loaded = SevenNet::load(&path).unwrap();
    let crystal = [prototype("NaCl")];
    assert_eq!(loaded.evaluate(&crystal), SevenNet::shipped().evaluate(&crystal));

    let written = |change: fn(&mut WeightFile)| {
        let mut other = weights.file().clone();
        change(&mut other);
        other.write(&path).unwrap();
        SevenNet::load(&path).unwrap_err()
    };
    let error = written(|f| drop(f.metadata.insert("format".into(), "druse potential 9".into()))).to_string();
    assert!(
        error.contains("its format is `druse potential 9`, this version reads `druse potential 1`"),
        "{error}"
    );
    let error = written(|f| drop(f.metadata.remove("kind"))).to_string();
    assert!(error.contains("its header names no kind"), "{error}");
    let error = written(|f| drop(f.metadata.insert("config".into(), "{}".into())));
    assert!(matches!(error, LoadError::Content { .. }), "{error}");

    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(SevenNet::load(&path).unwrap_err(), LoadError::Weights(_)));
    assert!(SevenNet::load(&folder.join("missing")).is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}
