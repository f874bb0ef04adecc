//! What the program says: help of every command, tables, typical errors. Where it should say something else,
//! `INSTA_UPDATE=always cargo test --release -p druse-cli --test snapshots` accepts what it says now.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use common::{cif, command, csv, prototypes, train_tiny, write_data};
use insta::Settings;

/// Models and the like, which are part of the repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A folder of a fixed name: some messages name the folder of a file.
fn workplace() -> (tempfile::TempDir, PathBuf) {
    let guard = tempfile::tempdir().unwrap();
    let dir = guard.path().join("work");
    fs::create_dir(&dir).unwrap();
    (guard, dir)
}

/// Calls the program for a terminal of 100 columns and gives a transcript: command, exit code, stdout, stderr.
fn transcript(dir: &Path, line: &str) -> String {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    let Output { status, stdout, stderr } =
        command(dir).args(&arguments).env("COLUMNS", "100").stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let mut transcript = format!("$ druse {line}\n");
    if status.code() != Some(0) {
        transcript += &format!("exit code {}\n", status.code().unwrap());
    }
    for (name, text) in [("stdout", text(stdout)), ("stderr", text(stderr))] {
        if !text.is_empty() {
            transcript += &format!("--- {name}\n{}\n", text.trim_end());
        }
    }
    let dir = dir.canonicalize().unwrap();
    transcript.replace(dir.to_str().unwrap(), "[dir]")
}

/// A text without what depends on version, clock, machine and system.
fn normalized(text: &str) -> String {
    let text = text.replace("druse.exe", "druse").replace(env!("CARGO_PKG_VERSION"), "[version]");
    // The system's words for a file that is not there.
    let text =
        ["No such file or directory (os error 2)", "The system cannot find the file specified. (os error 2)"]
            .iter()
            .fold(text, |text, words| text.replace(words, "[not found]"));
    let text = if cfg!(windows) { text.replace('\\', "/") } else { text };
    text.lines().map(normalized_line).collect::<Vec<_>>().join("\n")
}

fn normalized_line(line: &str) -> String {
    // Losses differ in their last digits between processors.
    if let Some(at) = line.find("best loss ") {
        return format!("{}best loss [loss]", &line[..at]);
    }
    let is_time = |word: &str, next: Option<&&str>| {
        let unit = next.map(|next| next.trim_end_matches([',', ':', ';']));
        matches!(unit, Some("s" | "min")) && word.contains('.') && word.parse::<f64>().is_ok()
    };
    let is_hash = |word: &str| word.len() >= 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let words: Vec<&str> = line.split(' ').collect();
    let known = words.iter().enumerate().map(|(i, word)| match word.trim_end_matches([')', ',']) {
        bare if is_time(word, words.get(i + 1)) => word.replace(bare, "[time]"),
        bare if is_hash(bare) => word.replace(bare, "[hash]"),
        _ => (*word).to_owned(),
    });
    known.collect::<Vec<_>>().join(" ")
}

/// Compares with a snapshot.
fn check(name: &str, text: &str) {
    let mut settings = Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, normalized(text)));
}

/// Transcripts of several commands.
fn check_all(name: &str, dir: &Path, lines: &[&str]) {
    let all: Vec<String> = lines.iter().map(|line| transcript(dir, line)).collect();
    check(name, &all.join("\n"));
}

/// The commands, from the reference that the program prints of itself.
fn commands(dir: &Path) -> Vec<String> {
    let page = transcript(dir, "reference cli");
    let commands = page.lines().filter_map(|line| line.strip_prefix("## druse ")).map(str::to_owned);
    let commands: Vec<String> = commands.collect();
    assert!(commands.len() > 20 && commands.contains(&"data stats".to_owned()), "{commands:?}");
    commands
}

#[test]
fn help() {
    let (_guard, dir) = workplace();
    let dir = dir.as_path();
    check("help", &transcript(dir, "--help"));
    for group in ["data", "config"] {
        check(&format!("help_{group}"), &transcript(dir, &format!("{group} --help")));
    }
    for words in commands(dir) {
        check(&format!("help_{}", words.replace(' ', "_")), &transcript(dir, &format!("{words} --help")));
    }
}

#[test]
fn configuration() {
    let (_guard, dir) = workplace();
    let dir = dir.as_path();
    check_all("config_presets", dir, &["config presets"]);
    for preset in ["gemsdiff-small", "cdvae-small", "property-small"] {
        check_all(&format!("config_show_{preset}"), dir, &[&format!("config show --preset {preset}")]);
    }
}

/// A reference set, and one to judge: it is slightly strained, with a row that is no crystal and one with two atoms on
/// one spot.
fn sets(dir: &Path) {
    fs::write(dir.join("reference.csv"), csv(&prototypes())).unwrap();
    let mut lines = vec![
        r#"{"id":"negative","lengths":[-4,4,4],"angles":[90,90,90],"atom_types":[55,17],"frac_coords":[[0,0,0],[0.5,0.5,0.5]]}"#.to_owned(),
        r#"{"id":"one-spot","lengths":[4,4,4],"angles":[90,90,90],"atom_types":[55,17],"frac_coords":[[0,0,0],[0,0,0]]}"#.to_owned(),
    ];
    for (id, text) in prototypes() {
        lines.push(serde_json::json!({ "id": id, "cif": text }).to_string());
    }
    fs::write(dir.join("generated.jsonl"), lines.join("\n") + "\n").unwrap();
}

#[test]
fn evaluations() {
    let (_guard, dir) = workplace();
    let dir = dir.as_path();
    sets(dir);
    let judge =
        "evaluate generated.jsonl --reference reference.csv --train reference.csv --bootstrap 0 --no-cache";
    check_all("evaluate", dir, &[&format!("{judge} --json a.json")]);
    check_all("evaluate_strict", dir, &[&format!("{judge} --protocol strict --no-symmetry --json b.json")]);
    check_all("compare", dir, &["compare a.json b.json"]);
    let predicted = "--reference reference.csv --task prediction --bootstrap 0 --no-cache";
    let lines = ["reference.csv", "generated.jsonl"].map(|set| format!("evaluate {set} {predicted}"));
    check_all("evaluate_prediction", dir, &lines.each_ref().map(String::as_str));
    fs::write(dir.join("CsCl.cif"), cif("CsCl", 4.1, &[("Cs", [0.0; 3]), ("Cl", [0.5; 3])])).unwrap();
    fs::write(dir.join("larger.cif"), cif("CsCl", 4.3, &[("Cl", [0.0; 3]), ("Cs", [0.5; 3])])).unwrap();
    check_all("match", dir, &["match CsCl.cif larger.cif"]);
}

#[test]
fn descriptions() {
    let (_guard, dir) = workplace();
    let dir = dir.as_path();
    write_data(dir);
    check_all("data_stats", dir, &["data stats data/train.csv", "data stats data --no-symmetry"]);
    fs::write(dir.join("CsCl.cif"), cif("CsCl", 4.1, &[("Cs", [0.0; 3]), ("Cl", [0.5; 3])])).unwrap();
    check_all("info", dir, &["info CsCl.cif", "info data/val.csv", "info data", "info"]);
    train_tiny(dir, "run", "2").ok();
    check_all("info_checkpoint", dir, &["info run", "info run/checkpoints/last.safetensors"]);
}

#[test]
fn errors_of_configurations() {
    let (_guard, dir) = workplace();
    let dir = dir.as_path();
    write_data(dir);
    let write = |name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
    write("preset.toml", "preset = \"gemsdif-small\"\n");
    write("kind.toml", "[train]\nepochs = 3\n\n[model]\nkind = \"cdvea\"\n");
    write("key.toml", "[train]\nepochs = 3\nbatchsize = 3\n");
    write("inner.toml", "preset = \"cdvae-small\"\n\n[model.decoder]\nhiden = 8\n");
    write("sampling.toml", "preset = \"cdvae-small\"\n\n[sampling]\nsteps_per_levl = 8\n");
    write("type.toml", "[optim]\nlr = \"fast\"\n");
    write("syntax.toml", "[train\n");
    let train = |more: &str| format!("train --data data --out r {more}");
    let lines = [
        train("--preset big"),
        train("--config preset.toml"),
        train("--config kind.toml"),
        train("--config key.toml"),
        train("--config inner.toml"),
        train("--config sampling.toml"),
        train("--config type.toml"),
        train("--config syntax.toml"),
        train("--config nowhere.toml"),
        train("--set optim.lrr=1"),
        train("--set optim.lr=-1"),
        train("--set optim.schedule=cosin"),
        train("--set lr"),
        train("--set model.kind=gan"),
        train("--set sampling.steps=3"),
        train("--device toaster"),
        train("--resume"),
        "train --out r".to_owned(),
    ];
    check_all("errors_of_configurations", dir, &lines.each_ref().map(String::as_str));
}

#[test]
fn errors_of_models() {
    let (_guard, dir) = workplace();
    let dir = dir.as_path();
    write_data(dir);
    let shipped = fs::read(repository().join("models/gemsdiff-small-mp-20.safetensors")).unwrap();
    let changed = |name: &str, from: &str, to: &str| {
        let at = shipped.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        let mut bytes = shipped.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        fs::write(dir.join(name), bytes).unwrap();
    };
    changed("later.safetensors", "\"version\":\"1\"", "\"version\":\"7\"");
    changed("foreign.safetensors", "\"kind\":\"gemsdiff\"", "\"kind\":\"adaptive\"");
    changed("other.safetensors", "druse-checkpoint", "other-checkpoint");
    fs::write(dir.join("gemsdiff.safetensors"), &shipped).unwrap();
    fs::write(dir.join("cut.safetensors"), &shipped[..shipped.len() - 100]).unwrap();
    fs::write(dir.join("text.safetensors"), "this is text, not weights").unwrap();
    fs::copy(repository().join("models/cdvae-small-mp-20.safetensors"), dir.join("cdvae.safetensors"))
        .unwrap();
    let lines = [
        "sample --model later.safetensors --formula CsCl --out o",
        "sample --model foreign.safetensors --formula CsCl --out o",
        "sample --model other.safetensors --formula CsCl --out o",
        "sample --model cut.safetensors --formula CsCl --out o",
        "sample --model text.safetensors --formula CsCl --out o",
        "sample --model nowhere.safetensors --formula CsCl --out o",
        "sample --model data --formula CsCl --out o",
        "sample --model cdvae.safetensors --formula CsCl --out o",
        "sample --model cdvae.safetensors --count 1 --set steps_per_levl=3 --out o",
        "sample --model cdvae.safetensors --count 1 --set steps_per_level=0 --out o",
        "sample --formula CsCl --set steps_per_level=3 --out o",
        "sample --model gemsdiff.safetensors --count 1 --out o",
        "sample --model gemsdiff.safetensors --formula CsCl --templates-only --out o",
        "sample --formula Cs20Cl20 --out o",
        "sample --formula CsCl --system Na-Cl --out o",
        "sample --formula CsCl --atoms 3 --out o",
        "sample --formula CsCl --space-group 227 --out o",
        "sample --atoms 3 --space-group 227 --out o",
        "sample --atoms 500 --out o",
        "sample --formula CsXx --out o",
        "sample --system Cs-Cs --out o",
        "sample --latents z.jsonl --out o",
        "encode --model cdvae.safetensors nowhere.csv --out z.jsonl",
        "predict cdvae.safetensors data/val.csv",
        "info foreign.safetensors",
    ];
    check_all("errors_of_models", dir, &lines);
}

#[test]
fn errors_of_input() {
    let (_guard, dir) = workplace();
    let dir = dir.as_path();
    sets(dir);
    let write = |name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
    write("notes.txt", "nothing\n");
    write("broken.cif", "data_x\n_cell_length_a\n");
    write("formulas.csv", "id,formula\na,NaCl\n");
    write("plain.csv.gz", "material_id,cif\n");
    let unknown = cif("x", 3.5, &[("Xx", [0.0; 3])]);
    write("row.csv", &csv(&[("bad".to_owned(), unknown)]));
    let lines = [
        "data stats nowhere.csv",
        "data stats notes.txt",
        "data stats formulas.csv",
        "data stats plain.csv.gz",
        "data stats row.csv",
        "data stats reference.csv --filter gap",
        "data stats reference.csv --elements Xx",
        "data convert reference.csv out",
        "data convert reference.csv out.csv --format xlsx",
        "data split reference.csv --out parts --fractions 0.5,0.9,0.1",
        "data fetch mp-21",
        "info nowhere",
        "match broken.cif broken.cif",
        "evaluate notes.txt --reference reference.csv",
        "evaluate generated.jsonl --reference reference.csv --protocol cdvea",
        "evaluate generated.jsonl --reference reference.csv --cutoffs mp-21",
        "featurize generated.jsonl --features magpi",
        "compare notes.txt reference.csv",
        "smaple",
        "sample --formul CsCl",
    ];
    check_all("errors_of_input", dir, &lines);
}
