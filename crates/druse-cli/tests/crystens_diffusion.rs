//! The cascade of diffusion models of images on the real binary: trained, sampled, judged, refused.

mod common;

use std::fs;
use std::path::Path;

use common::{Run, druse, write_data};

const NETWORK: &str = "dim=4,multipliers=[1,2,2],blocks=[1,1,1],heads=2,head_width=4,groups=2,kernels=[3]";

fn call(dir: &Path, line: &str) -> Run {
    druse(dir, &line.split_whitespace().collect::<Vec<_>>())
}

#[test]
fn a_cascade_is_trained_sampled_and_judged() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    let sizes = format!("--set model.base={{{NETWORK}}} --set model.upsampler={{{NETWORK}}}");
    let train = format!(
        "train --preset crystens-small-diffusion --data data --out m --set train.epochs=2 --set train.batch_size=8 {sizes} \
         --set sampling.base_steps=2 --set sampling.upsampler_steps=2 --set sampling.decoding=default"
    );
    call(dir, &train).ok();
    let log = fs::read_to_string(dir.join("m/metrics.jsonl")).unwrap();
    assert!(log.contains("base") && log.contains("upsampler"), "{log}");

    call(dir, "sample --model m --count 4 --out s --format jsonl").ok();
    let rows = |file: &str| fs::read_to_string(dir.join("s").join(file)).unwrap_or_default().lines().count();
    assert_eq!(rows("structures.jsonl") + rows("failures.jsonl"), 4);
    if rows("structures.jsonl") > 0 {
        call(dir, "evaluate s --reference data/train.csv --protocol crystens").ok();
    }

    // A second network of another size, in words.
    let wrong = "train --preset crystens-small-diffusion --data data --out w --set model.upsampler.edge=48";
    call(dir, wrong).fails(2, &["upsampler.edge = 48, expected 64"]);
}
