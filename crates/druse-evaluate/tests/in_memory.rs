//! Sets of structures in memory through the library, without a file or a program.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use druse_crystal::{Element, Lattice, Structure};
use druse_data::{Cache, Listing};
use druse_evaluate::featurize::{Feature, featurize};
use druse_evaluate::report::{Comparison, html, table};
use druse_evaluate::{
    Embedding, EvaluateError, Evaluation, GenerationSettings, MatchingSettings, Pairing, Progress, Sets,
    Silent, Task, describe, generation, matching,
};
use druse_metrics::descriptors::DescriptorSettings;
use druse_metrics::generation::{ProtocolName, Rules};

static GO: AtomicBool = AtomicBool::new(false);

/// Two kinds of atoms, one at the corner and one in the middle of a cube (Å).
fn pair(symbols: [&str; 2], edge: f64) -> Structure {
    let species = symbols.map(|s| Element::from_symbol(s).unwrap()).to_vec();
    Structure::new(Lattice::cubic(edge).unwrap(), species, vec![[0.0; 3], [0.5; 3]]).unwrap()
}

fn generated() -> Listing {
    let too_close = pair(["Cs", "Cl"], 0.5);
    Listing::from_structures("generated", [pair(["Cs", "Cl"], 4.2), pair(["Cs", "Br"], 4.3), too_close])
}

fn reference() -> Listing {
    Listing::from_structures("perov_5/test", [pair(["Cs", "Cl"], 4.12), pair(["Cs", "Br"], 4.29)])
}

fn settings(sets: Sets<'_>, protocol: ProtocolName) -> GenerationSettings {
    GenerationSettings {
        cache: Cache::Off,
        bootstrap: None,
        ..GenerationSettings::new(sets.resolve(&Rules::of(protocol)))
    }
}

fn evaluate(generated: &Listing, protocol: ProtocolName) -> Evaluation {
    let reference = reference();
    let sets = Sets { generated, reference: &reference, train: None };
    generation(sets, &settings(sets, protocol), &mut Silent, &GO).unwrap()
}

#[test]
fn structures_are_evaluated_and_watched() {
    let (generated, reference) = (generated(), reference());
    let sets = Sets { generated: &generated, reference: &reference, train: Some(&reference) };
    let mut stages: Vec<String> = Vec::new();
    let mut watch = |progress: Progress<'_>| stages.push(progress.stage.to_owned());
    let e = generation(sets, &settings(sets, ProtocolName::Cdvae), &mut watch, &GO).unwrap();
    // Scaled to one volume, the invalid crystal is the first one.
    assert_eq!((e.values["valid"], e.values["unique"]), (Some(2.0 / 3.0), Some(2.0 / 3.0)));
    assert_eq!(e.values["cov_recall"], Some(1.0));
    assert!(e.remarks[0].contains("cut-offs of perov-5: by the name of the reference"), "{:?}", e.remarks);
    assert_eq!((e.invalid.len(), e.invalid[0].id.as_str()), (1, "row-3"));
    assert_eq!(stages.first().map(String::as_str), Some("features of the generated set"));
    assert!(table::evaluation(&e).contains("Validity") && html::page(&e).contains("Metrics"));

    let stopped = generation(sets, &settings(sets, ProtocolName::Cdvae), &mut Silent, &AtomicBool::new(true));
    assert!(matches!(stopped, Err(EvaluateError::Interrupted)));
    let none = Listing::from_structures("none", []);
    let empty = Sets { generated: &none, ..sets };
    assert!(generation(empty, &settings(empty, ProtocolName::Cdvae), &mut Silent, &GO).is_err());
}

#[test]
fn vectors_of_networks_are_compared() {
    let (generated, reference) = (generated(), reference());
    let sets = Sets { generated: &generated, reference: &reference, train: None };
    let embedding = Embedding {
        kind: "toy".into(),
        about: "one number of toy weights 1a2b".into(),
        // The third row is invalid: the protocol does not look at it.
        generated: vec![Ok(vec![1.0]), Ok(vec![3.0]), Ok(vec![1e6])],
        reference: vec![Ok(vec![0.0]), Ok(vec![2.0])],
    };
    let settings = GenerationSettings { embeddings: vec![embedding], ..settings(sets, ProtocolName::Cdvae) };
    let e = generation(sets, &settings, &mut Silent, &GO).unwrap();
    let metric = e.metric("frechet_toy").unwrap();
    assert!((metric.value.unwrap() - 1.0).abs() < 1e-9, "{metric:?}");
    assert_eq!((metric.of, metric.against), (2, Some(2)));
    assert_eq!(metric.protocol, "valid sample, Gaussians of one number of toy weights 1a2b");
    assert!(table::evaluation(&e).contains("Fréchet distance (toy)"));
}

#[test]
fn predictions_are_matched_in_order() {
    let (generated, reference) = (generated(), reference());
    let mut two = generated.clone();
    two.items.truncate(2);
    let sets = Sets { generated: &two, reference: &reference, train: None };
    let protocol = sets.resolve(&Rules::default()).protocol;
    let settings = MatchingSettings {
        cache: Cache::Off,
        ..MatchingSettings::new(Task::Reconstruction, protocol, Pairing::Order)
    };
    let e = matching(sets, &settings, &mut Silent, &GO).unwrap();
    assert_eq!((e.values["match_rate"], e.values["metre"]), (Some(1.0), Some(1.0)));
    let uneven = Sets { generated: &generated, ..sets };
    assert!(matches!(matching(uneven, &settings, &mut Silent, &GO), Err(EvaluateError::Pairing(_))));
}

#[test]
fn evaluations_are_read_again_and_compared() {
    let all = evaluate(&generated(), ProtocolName::Cdvae);
    let best = evaluate(&reference(), ProtocolName::Cdvae);
    let path = Path::new("a.json");
    let bytes = serde_json::to_vec(&all).unwrap();
    assert_eq!(Evaluation::from_json(&bytes, path).unwrap().as_ref(), Some(&all));
    assert_eq!(Evaluation::from_json(b"{\"lattice\": 1}", path).unwrap(), None);
    assert_eq!(Evaluation::from_json(b"data_x", path).unwrap(), None);
    let text = String::from_utf8(bytes).unwrap();
    let other = text.replacen("\"format\":1", "\"format\":9", 1);
    let error = Evaluation::from_json(other.as_bytes(), path).unwrap_err().to_string();
    assert!(error.contains("`a.json` has format 9, this program reads 1"), "{error}");
    // The strict rules had another name.
    let strict = serde_json::to_string(&evaluate(&generated(), ProtocolName::Strict)).unwrap();
    let old = strict.replace("\"strict\"", "\"honest\"");
    let read = Evaluation::from_json(old.as_bytes(), path).unwrap().unwrap();
    assert_eq!(read.protocol.structure.to_string(), "strict");

    let comparison = Comparison::new(&[("all".to_owned(), all), ("best".to_owned(), best)]);
    let row = comparison.rows.iter().find(|r| r.key == "valid").unwrap();
    assert_eq!((row.label.as_str(), row.best.as_slice()), ("Validity", &[1][..]));
}

#[test]
fn features_are_kept_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::Folder(folder.path().to_owned());
    let run = || {
        describe(&generated(), &DescriptorSettings::default(), &cache, "features", &mut Silent, &GO).unwrap()
    };
    let (first, second) = (run(), run());
    assert!(!first.cached && second.cached);
    assert_eq!(first.descriptors, second.descriptors);
}

#[test]
fn a_feature_is_a_member() {
    let rows = featurize(&generated(), &Feature::ALL, false, &mut Silent, &GO).unwrap();
    let keys: Vec<&str> = rows[0].as_object().unwrap().keys().map(String::as_str).collect();
    let mut wanted: Vec<&str> = Feature::ALL.map(Feature::name).to_vec();
    wanted.extend(["id", "composition", "error"]);
    wanted.sort_unstable();
    assert_eq!(keys, wanted);
    assert_eq!(rows[0]["magpie"].as_array().map(Vec::len), Some(132));
    assert_eq!(rows[0]["validity"]["valid"], true);
    assert_eq!(rows[2]["validity"]["struct_valid"], false);
    assert_eq!(rows[0]["neighbors"]["counts"]["4"].as_array().map(Vec::len), Some(2));
}
