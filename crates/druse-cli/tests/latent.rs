//! Models with a latent space on the real binary: train, sample, encode, reconstruct, optimize, interpolate.

mod common;

use std::fs;
use std::path::Path;

use common::{Run, druse, prototypes};
use serde_json::Value;

/// A kind of model with a latent space, in sizes that train in a blink.
struct Kind {
    name: &'static str,
    settings: &'static [&'static str],
    /// Parts of its loss.
    parts: &'static [&'static str],
    /// Width of its latents.
    latent: usize,
    /// What its heads say of a cell that is larger than `model.max_atoms=3`.
    too_large: &'static [&'static str],
}

const CDVAE: Kind = Kind {
    name: "cdvae",
    settings: &[
        "model.encoder={hidden=8, interaction=4, basis=4, output_embedding=8, blocks=1}",
        "model.decoder={hidden=8, triplet=4, basis=4, bilinear=4, num_radial=8, num_spherical=3, blocks=1, neighbors=6}",
        "model.latent=6",
        "model.head=8",
        "model.noise={levels=4}",
    ],
    parts: &["num_atoms", "lattice", "composition", "coordinate", "species", "kl", "property"],
    latent: 6,
    too_large: &["5 atoms", "3"],
};

const SYMAT: Kind = Kind {
    name: "symat",
    settings: &[
        "model.encoder={hidden=8, interaction=4, basis_distance=3, basis_angle=3, basis_torsion=3, output_embedding=8, \
         blocks=1, num_spherical=3, num_radial=3}",
        "model.score.network={hidden=8, interaction=4, basis=3, blocks=1}",
        "model.score.head=8",
        "model.latent=8",
        "model.head=8",
        "model.noise={levels=4}",
    ],
    parts: &["num_elements", "presence", "num_atoms", "lattice", "coordinate", "kl", "property"],
    latent: 24,
    too_large: &["Sr1 Ti1 O3", "3 elements", "up to 2"],
};

const KINDS: [Kind; 2] = [CDVAE, SYMAT];

/// Prototypes with an energy each, as training, validation and test set. (The simple cubic one stays out: a model may
/// not know its element.)
fn write_data(dir: &Path) {
    let rows: Vec<_> = prototypes().into_iter().filter(|(name, _)| name != "Po").collect();
    let table = |range: std::ops::Range<usize>| {
        let mut text = "material_id,energy,cif\n".to_owned();
        for (i, (id, cif)) in rows[range].iter().enumerate() {
            text += &format!("{id},{},\"{cif}\"\n", -1.5 + 0.25 * i as f64);
        }
        text
    };
    fs::create_dir_all(dir.join("data")).unwrap();
    fs::write(dir.join("data/train.csv"), table(0..7)).unwrap();
    fs::write(dir.join("data/val.csv"), table(1..4)).unwrap();
    fs::write(dir.join("data/test.csv"), table(2..6)).unwrap();
}

fn train(kind: &Kind, dir: &Path, out: &str, more: &[&str]) -> Run {
    let preset = format!("{}-small", kind.name);
    let common =
        ["train.epochs=3", "train.batch_size=4", "train.validation_every=1", "sampling.steps_per_level=3"];
    let settings = kind.settings.iter().chain(&common).flat_map(|setting| ["--set", setting]);
    let settings: Vec<&str> = settings.collect();
    let line = ["train", "--preset", &preset, "--data", "data", "--out", out];
    druse(dir, &[&line, &settings[..], more].concat())
}

/// A folder with data and a model `m` that has learned the energy.
fn with_model(kind: &Kind) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_data(dir.path());
    train(kind, dir.path(), "m", &["--set", "model.property=energy"]).ok();
    dir
}

fn call(dir: &Path, line: &str) -> Run {
    druse(dir, &line.split_whitespace().collect::<Vec<_>>())
}

/// The lines of a file of structures and of that of failures beside it.
fn made(dir: &Path, out: &str) -> Vec<Value> {
    ["structures.jsonl", "failures.jsonl"]
        .into_iter()
        .flat_map(|file| {
            let text = fs::read_to_string(dir.join(out).join(file)).unwrap_or_default();
            text.lines().map(|l| serde_json::from_str(l).unwrap()).collect::<Vec<Value>>()
        })
        .collect()
}

#[test]
fn trains_resumes_and_samples() {
    for kind in &KINDS {
        let dir = with_model(kind);
        let dir = dir.path();
        let last = |run: &str| {
            let text = fs::read_to_string(dir.join(run).join("metrics.jsonl")).unwrap();
            let epoch: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
            assert_eq!(epoch["kind"], "epoch");
            (epoch["train_loss"].clone(), epoch["validation_parts"].clone())
        };
        let parts = last("m").1;
        for &part in kind.parts {
            assert!(parts[part].is_f64(), "{part}: {parts}");
        }
        // Stopped after the first epoch, continued: the numbers of an unbroken run. Threads change nothing.
        let property = ["--set", "model.property=energy"];
        train(kind, dir, "n", &[&property[..], &["--set", "train.max_minutes=1e-9"]].concat()).ok();
        let all = ["--set", "train.max_minutes=60.0", "--resume", "--threads", "1"];
        train(kind, dir, "n", &[&property[..], &all].concat()).ok();
        assert_eq!(last("m"), last("n"));

        call(dir, "sample --model m --count 5 --seed 3 --out a --format jsonl").ok();
        assert_eq!(made(dir, "a").len(), 5);
        call(dir, "sample --model m --count 5 --seed 3 --out b --format jsonl --threads 1").ok();
        assert_eq!(made(dir, "a"), made(dir, "b"));
        call(dir, "sample --model m --count 5 --seed 3 --out c --format jsonl --set steps_per_level=1").ok();
        assert_ne!(made(dir, "a"), made(dir, "c"));
        call(dir, "sample --model m --count 5 --seed 3 --out c --resume").fails(2, &["steps_per_level"]);
        call(dir, "sample --model m --formula SrTiO3 --out d")
            .fails(2, &[kind.name, "composition", "gemsdiff"]);
        call(dir, "info m").ok();
    }
}

#[test]
fn latents_are_written_decoded_and_belong_to_their_model() {
    for kind in &KINDS {
        let dir = with_model(kind);
        let dir = dir.path();
        call(dir, "encode --model m data/test.csv --out z.jsonl --mean").ok();
        let text = fs::read_to_string(dir.join("z.jsonl")).unwrap();
        let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!((text.lines().count(), first["latent"].as_array().unwrap().len()), (4, kind.latent));
        call(dir, "sample --model m --latents z.jsonl --out decoded --format jsonl").ok();
        let decoded = made(dir, "decoded");
        assert_eq!(decoded.len(), 4);
        assert!(decoded.iter().all(|d| d["properties"]["latent_of"].is_string()));
        train(kind, dir, "other", &["--set", "train.seed=4"]).ok();
        call(dir, "sample --model other --latents z.jsonl --out no")
            .fails(2, &["z.jsonl", "line 1", "model"]);
        call(dir, "encode --out z.jsonl data/test.csv").fails(2, &["--model"]);
    }
}

#[test]
fn reconstructs_and_compares() {
    for kind in &KINDS {
        let dir = with_model(kind);
        let dir = dir.path();
        call(dir, "reconstruct --model m data/test.csv --out one --json one.json --format jsonl").ok();
        assert_eq!(made(dir, "one").len(), 4);
        let report: Value = serde_json::from_str(&fs::read_to_string(dir.join("one.json")).unwrap()).unwrap();
        assert_eq!(report["task"], "reconstruction");
        assert_eq!(report["reference"]["rows"], 4, "{}", report["reference"]);
        let many = "reconstruct --model m data/test.csv --count 2 --candidates 3 --true-species --out many --format jsonl";
        let printed = call(dir, many).ok().stdout;
        assert!(printed.contains("match"), "{printed}");
        let many = made(dir, "many");
        let of = |id: &str| many.iter().filter(|m| m["properties"]["reconstruction_of"] == id).count();
        assert_eq!((many.len(), of("CsBr"), of("NiAl")), (6, 3, 3), "{many:?}");
        let species = |m: &Value| {
            let mut all: Vec<String> = m["structure"]["species"]
                .as_array()
                .unwrap()
                .iter()
                .map(|s| s.as_str().unwrap().into())
                .collect();
            all.sort();
            all
        };
        for m in many.iter().filter(|m| m["structure"].is_object()) {
            let expected =
                if m["properties"]["reconstruction_of"] == "CsBr" { ["Br", "Cs"] } else { ["Al", "Ni"] };
            assert_eq!(species(m), expected);
        }
    }
}

#[test]
fn optimizes_and_interpolates() {
    for kind in &KINDS {
        let dir = with_model(kind);
        let dir = dir.path();
        let line = "optimize --model m --data data/test.csv --property energy --minimize --count 3 --steps 20 --every 10 --lr 0.05";
        call(dir, &format!("{line} --out low --format jsonl")).ok();
        let low = made(dir, "low");
        assert_eq!(low.len(), 6);
        let value = |start: &str, step: u64| {
            let found =
                low.iter().find(|m| m["properties"]["start"] == start && m["properties"]["step"] == step);
            found.unwrap()["properties"]["latent_value"].as_f64().unwrap()
        };
        for start in ["NiAl", "CsBr", "SrTiO3"] {
            assert!(value(start, 20) < value(start, 10), "{start}");
        }
        call(
            dir,
            "optimize --model m --random 2 --property energy --maximize --steps 4 --every 4 --out high",
        )
        .ok();
        assert_eq!(made(dir, "high").len(), 2);
        call(dir, "optimize --model m --random 2 --property gap --maximize --out no")
            .fails(2, &["energy", "gap"]);
        call(dir, "optimize --model m --random 2 --property energy --out no").fails(2, &["--minimize"]);
        call(dir, "optimize --model m --property energy --minimize --out no").fails(2, &["--data"]);
        // A predictor of its own judges what was decoded.
        let predictor = "train --preset property-small --data data --set model.property=energy --set train.epochs=1 \
            --set model.network={hidden=8,interaction=4,basis=4,output_embedding=8,blocks=1} --out p";
        call(dir, predictor).ok();
        let printed = call(dir, &format!("{line} --predictor p --out judged --format jsonl")).ok().stdout;
        assert!(printed.contains("SR5") && printed.contains("SR15"), "{printed}");
        let text = fs::read_to_string(dir.join("judged/optimized.jsonl")).unwrap();
        let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        // An untrained decoder may take elements that the predictor does not know.
        assert!(records.iter().any(|r| r["properties"]["energy"].is_f64()), "{text}");
        assert!(records.iter().all(|r| r["properties"]["start"].is_string()), "{text}");
        call(dir, &format!("{line} --predictor m --out no")).fails(2, &[kind.name]);

        train(kind, dir, "plain", &[]).ok();
        call(dir, "optimize --model plain --random 2 --property energy --minimize --out no")
            .fails(2, &["without a property", "model.property=energy"]);

        let ends = prototypes();
        fs::write(dir.join("a.cif"), &ends[2].1).unwrap();
        fs::write(dir.join("b.cif"), &ends[5].1).unwrap();
        call(dir, "interpolate --model m a.cif b.cif --points 4 --mean --out way --format jsonl").ok();
        let mut places: Vec<f64> =
            made(dir, "way").iter().map(|m| m["properties"]["fraction"].as_f64().unwrap()).collect();
        places.sort_unstable_by(f64::total_cmp);
        assert_eq!(places.len(), 4);
        assert!((places[1] - 1.0 / 3.0).abs() < 1e-12 && places[3] == 1.0);
        call(dir, "interpolate --model m a.cif data/test.csv --out no")
            .fails(2, &["test.csv", "4 structures"]);
    }
}

#[test]
fn what_cannot_be_learned_is_refused() {
    for kind in &KINDS {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        write_data(dir);
        train(kind, dir, "a", &["--set", "model.property=gap"]).fails(2, &["gap", "energy"]);
        let limit = if kind.name == "symat" { "model.max_atoms=2" } else { "model.max_atoms=3" };
        train(kind, dir, "b", &["--set", limit]).fails(2, kind.too_large);
        train(kind, dir, "c", &["--set", "data.limit=1"]).fails(2, &["at least 2"]);
        let text = fs::read_to_string(dir.join("data/train.csv")).unwrap();
        fs::write(dir.join("data/train.csv"), text.replacen("CsCl,-1.25", "CsCl,high", 1)).unwrap();
        train(kind, dir, "d", &["--set", "model.property=energy"]).fails(2, &["energy", "high"]);
        fs::write(dir.join("data/train.csv"), text.replace("Br", "Am")).unwrap();
        train(kind, dir, "e", &[]).fails(2, &["Am", "94"]);
        call(dir, "encode data/test.csv --model data --out z").fails(2, &["checkpoint"]);
        let told = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/gemsdiff-small-mp-20.safetensors");
        call(dir, &format!("sample --model {told} --count 3 --out f")).fails(2, &["gemsdiff", "--formula"]);
        train(kind, dir, "g", &["--set", "model.weights.kl=-1"]).fails(2, &["kl"]);
    }
}

#[test]
fn shipped_models_sample_what_they_were_trained_on() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let dir = tempfile::tempdir().unwrap();
    let sample = |name: &str| {
        let model = models.join(format!("{name}.safetensors"));
        let line = "sample --count 4 --set steps_per_level=4 --format jsonl --model";
        let arguments = line.split(' ').chain([model.to_str().unwrap(), "--out", name]);
        druse(dir.path(), &arguments.collect::<Vec<_>>()).ok();
        made(dir.path(), name)
    };
    let species = |record: &Value| record["structure"]["species"].as_array().unwrap().clone();
    let carbon = sample("cdvae-small-carbon-24");
    assert_eq!(carbon.len(), 4);
    for record in &carbon {
        let species = species(record);
        assert!(species.iter().all(|e| e == "C") && (4..=24).contains(&species.len()), "{record}");
    }
    for name in ["cdvae-small-mp-20", "symat-small-mp-20"] {
        let mp = sample(name);
        assert_eq!(mp.len(), 4);
        assert!(mp.iter().any(|record| species(record).iter().any(|e| *e != species(record)[0])), "{name}");
    }
}
