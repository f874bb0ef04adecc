//! A tiny GemsDiff through training, interruption, checkpoints and sampling.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use common::data;
use druse_crystal::Composition;
use druse_models::Registry;
use druse_nn::Precision;
use druse_nn::device::cpu;
use druse_run::checkpoint::CheckpointError;
use druse_run::folder::complete_lines;
use druse_run::metrics::Metric;
use druse_run::output::{STRUCTURES_FILE, SampleFormat};
use druse_run::overlay::Layers;
use druse_run::sample::{FolderSink, SamplePlan, Shard, Workers, sample};
use druse_run::train::{Ending, LAST, METRICS_FILE, train};
use druse_run::{Checkpoint, Event, RunConfig, RunFolder, Silent};

fn config() -> RunConfig {
    let settings: Vec<String> = [
        "train.batch_size=3",
        "train.epochs=3",
        "model.steps=5",
        "model.knn=8",
        "model.latent=8",
        "model.decoder={hidden=8, triplet=4, basis=4, bilinear=4, lattice_head=4, num_radial=8, num_spherical=3, blocks=1, cutoff=6.0}",
        "model.encoder={hidden=8, triplet=4, basis=4, bilinear=4, lattice_head=4, num_radial=8, num_spherical=3, blocks=1, cutoff=6.0}",
    ]
    .map(str::to_owned)
    .into();
    let registry = Registry::builtin();
    let layers = Layers { preset: Some("gemsdiff-paper"), settings: &settings, ..Layers::new(&registry) };
    layers.resolve().unwrap()
}

fn run(path: &Path, resume: bool, steps: usize) -> Ending {
    let config = config();
    let mut model = config.build(&Registry::builtin()).unwrap();
    let stop = AtomicBool::new(false);
    let mut done = 0;
    let mut watch = |event: Event<'_>| {
        if matches!(event, Event::Step(_)) {
            done += 1;
            stop.store(done >= steps, Ordering::Relaxed);
        }
    };
    let folder = RunFolder::open(path).unwrap();
    train(model.trainable_mut(), &config, &data(), &folder, resume, &cpu(), &mut watch, &stop).unwrap().ending
}

fn numbers(path: &Path) -> Vec<(u64, f64, f64)> {
    complete_lines(&path.join(METRICS_FILE))
        .unwrap()
        .iter()
        .map(|line| match serde_json::from_str(line).unwrap() {
            Metric::Step(m) => (m.step, m.loss, m.grad_norm),
            Metric::Epoch(m) => (m.step, m.train_loss, m.validation_loss.unwrap()),
        })
        .collect()
}

#[test]
fn a_broken_run_continues_bit_for_bit_and_its_checkpoint_samples() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    assert_eq!(run(&whole, false, usize::MAX), Ending::Finished);
    assert_eq!(run(&broken, false, 4), Ending::Interrupted);
    assert_eq!(run(&broken, true, usize::MAX), Ending::Finished);
    assert_eq!(numbers(&broken), numbers(&whole));
    let load = |path: &Path| Checkpoint::load(&path.join(LAST)).unwrap();
    let (a, b) = (load(&whole), load(&broken));
    let registry = Registry::builtin();
    let (model, params) = a.model(&registry, &cpu()).unwrap();
    let model = model.into_generator().unwrap();
    let specs = model.parameters();
    assert_eq!(params.to_host(), b.model(&registry, &cpu()).unwrap().1.to_host());
    let (a_state, b_state) = (a.training(specs).unwrap(), b.training(specs).unwrap());
    assert_eq!((a_state.weights, a_state.optimizers), (b_state.weights, b_state.optimizers));

    // The exported model is a fraction of the size and samples the same structures.
    let exported = dir.path().join("model.safetensors");
    a.export().save(&exported).unwrap();
    let size = |p: &Path| std::fs::metadata(p).unwrap().len();
    assert!(size(&exported) * 2 < size(&whole.join(LAST)));
    let slim = Checkpoint::load(&exported).unwrap();
    assert!(matches!(slim.training(specs), Err(CheckpointError::NoTrainingState { .. })));
    let plan = SamplePlan {
        targets: ["SrTiO3", "CsCl"].map(|f| Composition::parse(f).unwrap().into()).into(),
        sampling: Default::default(),
        count: 5,
        seed: 1,
        model: "tiny".into(),
        shard: Shard::default(),
        precision: Precision::F32,
        workers: Workers::OnePerThread,
    };
    let mut outputs = Vec::new();
    let groups = |groups, in_flight| Workers::Groups { groups, in_flight };
    for (name, checkpoint, workers) in
        [("full", &a, Workers::OnePerThread), ("slim", &slim, groups(2, 5)), ("single", &slim, groups(1, 1))]
    {
        let folder = RunFolder::open(&dir.path().join(name)).unwrap();
        let (model, params) = checkpoint.model(&registry, &cpu()).unwrap();
        let model = model.into_generator().unwrap();
        let plan = SamplePlan { workers, ..plan.clone() };
        let stop = AtomicBool::new(false);
        let mut sink = FolderSink::new(&folder, SampleFormat::Jsonl, false);
        let summary = sample(model.as_ref(), &params, &plan, &mut sink, &mut Silent, &stop).unwrap();
        assert_eq!(summary.sampled + summary.failed, 5);
        outputs.push(std::fs::read_to_string(folder.join(STRUCTURES_FILE)).unwrap());
    }
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(outputs[0], outputs[2]);
}

#[test]
fn what_is_no_checkpoint_is_refused_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    run(&dir.path().join("r"), false, 1);
    let path = dir.path().join("r").join(LAST);
    let good = std::fs::read(&path).unwrap();
    let load = |bytes: &[u8]| Checkpoint::from_bytes(bytes, "x").unwrap_err().to_string();
    for cut in [0, 7, 100, good.len() / 2, good.len() - 1] {
        assert!(load(&good[..cut]).contains("cut off"), "{}", load(&good[..cut]));
    }
    assert!(load(b"PK\x03\x04 not a checkpoint at all").contains("not a safetensors file"));
    // Changed header entries of equal length keep the file well-formed.
    let changed = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = good.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        load(&bytes)
    };
    assert!(changed("druse-checkpoint", "other-checkpoint").contains("not a druse checkpoint"));
    assert!(changed("\"version\":\"1\"", "\"version\":\"9\"").contains("gemsdiff model in format version 9"));
    let other = changed("\"kind\":\"gemsdiff\"", "\"kind\":\"nonesuch\"");
    assert!(other.contains("says nonesuch") && other.contains("gemsdiff model"), "{other}");
    // A kind that another program registered.
    let mut checkpoint = Checkpoint::from_bytes(&good, "x").unwrap();
    checkpoint.config.model.kind = "nonesuch".into();
    let registry = Registry::builtin();
    let message = checkpoint.model(&registry, &cpu()).err().unwrap().to_string();
    let known: Vec<&str> = registry.kinds().iter().map(|kind| kind.name()).collect();
    for word in ["nonesuch", &known.join(", "), "written by druse"] {
        assert!(message.contains(word), "{message}");
    }
    let error = Checkpoint::load(&dir.path().join("missing.safetensors")).unwrap_err();
    assert!(error.to_string().contains("missing.safetensors"));
}
