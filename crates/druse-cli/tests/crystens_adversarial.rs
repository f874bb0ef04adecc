//! Adversarial networks of CrysTens through the binary: trained, resumed, sampled, judged, refused.

mod common;

use std::fs;
use std::path::Path;

use common::{Run, cif, csv, druse, write_data};
use druse_data::crystens::ImageFile;
use serde_json::Value;

const GAN: &str = "model={kind=\"crystens-gan\",latent=4,generator=[2,2,2,2,2,2,2,2,2],generator_planes=[[],[],[],[]],\
    discriminator=[2,1,1,1,1,1,1,1,2,2,2],discriminator_plane=[2]}";
const WGAN: &str = "model={kind=\"crystens-wgan\",latent=4,generator=[2,2,2,2,2,2,2,2,2],critic=[2,2,2,2,2,2,2,2,2,2,2,2],\
    critic_updates=2}";

fn call(dir: &Path, line: &str, more: &[&str]) -> Run {
    let arguments: Vec<&str> = line.split_whitespace().chain(more.iter().copied()).collect();
    druse(dir, &arguments)
}

fn lines(dir: &Path, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn trained_sampled_judged(preset: &str, model: &str, phases: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    let train = format!("train --preset {preset} --data data --out m --set train.batch_size=4");
    call(dir, &format!("{train} --set train.epochs=1 --set"), &[model]).ok();
    call(dir, "train --out m --resume --set train.epochs=2", &[]).ok();
    let steps: Vec<Value> =
        lines(dir, "m/metrics.jsonl").into_iter().filter(|m| m["kind"] == "step").collect();
    assert!(steps.len() >= 4, "{steps:?}");
    for phase in phases {
        assert!(steps.iter().all(|m| m["phases"][phase]["loss"].is_number()), "{phase}: {:?}", steps[0]);
    }
    call(dir, "sample --model m --count 4 --out s --format jsonl", &[]).ok();
    let (made, failed) = (lines(dir, "s/structures.jsonl"), lines(dir, "s/failures.jsonl"));
    assert_eq!(made.len() + failed.len(), 4);
    // Another way of decoding is another run.
    let decoding = ["--set", "sampling.decoding=default"];
    call(dir, "sample --model m --count 4 --out d --format jsonl", &decoding).ok();
    assert_eq!(lines(dir, "d/structures.jsonl").len() + lines(dir, "d/failures.jsonl").len(), 4);
    if !made.is_empty() {
        let run = call(dir, "evaluate s --reference data/train.csv --protocol crystens", &[]).ok();
        assert!(run.stdout.contains("validity"), "{}", run.stdout);
    }
    // The images that the structures were read from.
    call(dir, "sample --model m --count 4 --out k --format jsonl --keep-images", &decoding).ok();
    assert_eq!(lines(dir, "k/structures.jsonl"), lines(dir, "d/structures.jsonl"));
    let bytes = fs::read(dir.join("k/images.safetensors")).unwrap();
    let file = ImageFile::parse(&bytes).unwrap();
    assert_eq!((file.len(), file.name(3)), (4, "3".to_owned()));
    assert!((0..4).all(|k| file.image(k).constant().is_none()));
    let told = call(dir, "info k/images.safetensors", &[]).ok().stdout;
    assert!(told.contains("4 of 64×64 pixels") && told.contains("variance of cell angles"), "{told}");
    call(dir, "sample --model m --count 5 --out k --format jsonl --resume", &decoding).fails(2, &["count"]);
    call(dir, "sample --model m --formula CsCl --out f", &[]).fails(2, &["nothing"]);
}

#[test]
fn models_without_images_keep_none() {
    let dir = tempfile::tempdir().unwrap();
    let sample = "sample --formula CsCl --out s --keep-images";
    call(dir.path(), sample, &[]).fails(2, &["no images to keep", "orbit"]);
    assert!(!dir.path().join("s").exists());
}

#[test]
fn a_last_batch_of_one_structure_is_filled() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let data = write_data(dir);
    let rows = fs::read_to_string(data.join("train.csv")).unwrap().matches("data_").count();
    let train = format!(
        "train --preset crystens-small-gan --data data --out m --set train.epochs=1 --set train.batch_size={} --set",
        rows - 1
    );
    call(dir, &train, &[GAN]).ok();
    let steps = lines(dir, "m/metrics.jsonl").into_iter().filter(|m| m["kind"] == "step").count();
    assert_eq!(steps, 2);
}

#[test]
fn a_run_that_goes_astray_stops_with_the_step_and_keeps_what_was_good() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    for (preset, model) in [("crystens-small-gan", GAN), ("crystens-small-wgan", WGAN)] {
        let train = format!(
            "train --preset {preset} --data data --out {preset} --set train.batch_size=4 --set train.epochs=1 --set"
        );
        call(dir, &train, &[model]).ok();
        let last = dir.join(preset).join("checkpoints/last.safetensors");
        let good = fs::read(&last).unwrap();
        let astray = format!("train --out {preset} --resume --set train.epochs=3 --set optim.lr=1e30");
        let run = call(dir, &astray, &[]).fails(1, &["at step ", "last checkpoint is kept"]);
        let named =
            ["collapsed", "is NaN", "is inf", "diverged"].iter().any(|word| run.stderr.contains(word));
        assert!(named, "{}", run.stderr);
        assert_eq!(fs::read(&last).unwrap(), good);
        call(dir, &format!("sample --model {preset} --count 2 --out {preset}/s"), &[]);
        assert!(dir.join(preset).join("s/sampling.json").exists());
    }
}

#[test]
fn a_gan_is_trained_sampled_and_judged() {
    trained_sampled_judged("crystens-small-gan", GAN, &["real", "fake", "generator"]);
}

#[test]
fn a_wasserstein_gan_is_trained_sampled_and_judged() {
    trained_sampled_judged("crystens-small-wgan", WGAN, &["critic", "generator"]);
}

#[test]
fn mistakes_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let data = write_data(dir);
    let train =
        |more: &[&str]| call(dir, "train --preset crystens-small-gan --data data --set train.epochs=1", more);
    train(&["--out", "a", "--set", "model.generator=[1,2]"]).fails(2, &["generator", "2", "9"]);
    train(&["--out", "b", "--set", "model.dropout=1.0"]).fails(2, &["dropout", "1"]);
    train(&["--out", "c", "--set", GAN, "--set", "train.batch_size=1"]).fails(2, &["batch", "one structure"]);
    // Cells of more atoms than an image holds, and nothing else.
    let sites: Vec<_> = (0..53).map(|k| ("C", [f64::from(k) / 53.0, 0.0, 0.0])).collect();
    let large = csv(&[("large".to_owned(), cif("large", 80.0, &sites))]);
    fs::write(data.join("train.csv"), &large).unwrap();
    fs::write(data.join("val.csv"), &large).unwrap();
    let run = train(&["--out", "d"]);
    assert!(run.code.is_some_and(|code| code != 0) && run.stderr.contains("52"), "{}", run.stderr);
    let file = dir.join("odd.json");
    fs::write(
        &file,
        r#"{"config": {"network": "vanilla GAN"}, "inputs": {"structure_ids": ["a"], "latent": [[]]}}"#,
    )
    .unwrap();
    call(dir, "parity odd.json", &[]).fails(2, &["latents"]);
}
