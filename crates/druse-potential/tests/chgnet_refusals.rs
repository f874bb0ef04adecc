//! Crystals and files that are not as they should be.

#[allow(dead_code, reason = "shared by several files of tests")]
mod common;

use common::rattled;
use druse_crystal::{Lattice, Structure};
use druse_nn::weights::WeightFile;
use druse_potential::chgnet::Weights;
use druse_potential::{CHGNet, LoadError};
use druse_relax::{Potential, PotentialError};
use druse_testkit::prototypes::{cubic, element, prototype};

#[test]
fn unknown_elements_are_named_and_others_are_not_disturbed() {
    let potential = CHGNet::shipped();
    assert_eq!((potential.name(), potential.cutoff()), ("chgnet", 6.0));
    assert!(
        potential.knows(element("Pu")) && potential.knows(element("Po")) && !potential.knows(element("Am"))
    );
    let fine = prototype("NaCl");
    let heavy = cubic(4.0, &[("Am", [0.0; 3])]);
    let results = potential.evaluate(&[fine.clone(), heavy, fine]);
    let error = results[1].as_ref().unwrap_err();
    assert_eq!(error.to_string(), "chgnet does not know the element Am");
    assert_eq!(results[0], results[2]);
    assert!(results[0].is_ok());
    assert!(potential.evaluate(&[]).is_empty());
}

#[test]
fn atoms_without_neighbors_are_refused() {
    let potential = CHGNet::shipped();
    let alone = cubic(12.0, &[("Fe", [0.1, 0.2, 0.3])]);
    let error = potential.evaluate(std::slice::from_ref(&alone)).remove(0).unwrap_err();
    assert_eq!(error.to_string(), "site 0 has no neighbor within 6 Å, which chgnet needs");
    assert!(potential.details(&alone).is_err());
    let far = cubic(14.0, &[("Fe", [0.0; 3]), ("O", [0.14, 0.0, 0.0]), ("O", [0.6; 3])]);
    let error = potential.evaluate(&[far]).remove(0).unwrap_err();
    assert!(matches!(error, PotentialError::Isolated { site: 2, .. }), "{error}");
    // A pair has no angle.
    let pair = cubic(14.0, &[("Fe", [0.0; 3]), ("O", [0.14, 0.0, 0.0])]);
    let result = potential.evaluate(std::slice::from_ref(&pair)).remove(0).unwrap();
    assert!(result.energy.is_finite());
    assert_eq!(potential.details(&pair).unwrap().angles.len(), 0);
}

#[test]
fn overlapping_atoms_have_finite_results_or_a_reason() {
    let potential = CHGNet::shipped();
    for apart in [0.0, 1e-300, 1e-12, 1e-7, 1e-4, 1e-2, 0.3, 0.5] {
        let pair = cubic(5.0, &[("Si", [0.0; 3]), ("O", [apart / 5.0, 0.0, 0.0])]);
        match potential.evaluate(&[pair]).remove(0) {
            Ok(result) => assert_eq!(result.not_finite(), None),
            Err(error) => assert!(matches!(error, PotentialError::NotFinite { .. }), "{apart}: {error}"),
        }
    }
}

#[test]
fn cells_that_collapse_have_a_reason() {
    let potential = CHGNet::shipped();
    for edges in [[0.01, 0.01, 0.01], [4.0, 4.0, 1e-6], [1e-4, 1e4, 1.0], [0.3, 0.3, 0.3]] {
        let mut rows = [[0.0; 3]; 3];
        (0..3).for_each(|k| rows[k][k] = edges[k]);
        let lattice = Lattice::from_rows(rows).unwrap();
        let cell = Structure::new(lattice, vec![element("Cu")], vec![[0.0; 3]]).unwrap();
        let error = potential.evaluate(&[cell]).remove(0).unwrap_err();
        assert!(matches!(error, PotentialError::Neighbors(_)), "{edges:?}: {error}");
    }
    let mut broken = rattled(&prototype("NaCl"), 0.01, 0.01, 3);
    broken.frac_coords[0][1] = f64::NAN;
    let error = potential.evaluate(&[broken]).remove(0).unwrap_err();
    assert!(matches!(error, PotentialError::NotFinite { .. }));
}

#[test]
fn files_that_are_no_potential_are_refused() {
    let weights = CHGNet::shipped_weights();
    assert_eq!(weights.count(), 412_525);
    let changed = |change: fn(&mut WeightFile)| {
        let mut file = weights.file().clone();
        change(&mut file);
        Weights::from_tensors(file).unwrap_err().to_string()
    };
    let error = changed(|f| drop(f.tensors.remove("site_wise.bias")));
    assert!(error.contains("`site_wise.bias` is missing"), "{error}");
    let error = changed(|f| {
        let tensor = f.tensors.get_mut("mlp.layers.7.weight").unwrap();
        tensor.0 = vec![64];
    });
    assert!(error.contains("has shape [64], expected [1, 64]"), "{error}");
    let error = changed(|f| f.tensors.get_mut("readout_norm.bias").unwrap().1[3] = f32::NAN);
    assert!(error.contains("no finite number"), "{error}");
    // Version 0.2.0 has biases there.
    let error = changed(|f| {
        f.tensors.insert("bond_conv_layers.0.mlp_out.layers.1.bias".into(), (vec![64], vec![0.0; 64]));
    });
    assert!(error.contains("which CHGNet 0.3.0 has not"), "{error}");

    let folder = std::env::temp_dir().join(format!("druse-chgnet-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("w.safetensors");
    weights.clone().with_note("note", "a copy").write(&path).unwrap();
    let crystal = [prototype("NaCl")];
    let shipped = CHGNet::shipped().evaluate(&crystal);
    assert_eq!(CHGNet::load(&path).unwrap().evaluate(&crystal), shipped);
    // Whichever network a file holds.
    let loaded = druse_potential::load(&path).unwrap();
    assert_eq!((loaded.name(), loaded.evaluate(&crystal)), ("chgnet", shipped));
    let error = druse_potential::SevenNet::load(&path).unwrap_err().to_string();
    assert!(error.contains("its kind is `chgnet`, this version reads `sevennet`"), "{error}");
    let mut unmarked = weights.file().clone();
    unmarked.metadata.clear();
    unmarked.write(&path).unwrap();
    assert!(matches!(CHGNet::load(&path).unwrap_err(), LoadError::Content { .. }));
    assert!(CHGNet::load(&folder.join("missing")).is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}
