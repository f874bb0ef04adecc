//! `--json` of every command: one object on stdout and nothing else there, as the schema says.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use common::schema::{members, violations};
use common::{Run, cif, command, csv, druse, prototypes, train_tiny, write_data};
use serde_json::Value;

/// The schema that the program prints of its results.
fn schema(dir: &Path) -> Value {
    serde_json::from_str(&druse(dir, &["reference", "json-schema"]).ok().stdout).unwrap()
}

fn call(dir: &Path, line: &str) -> Run {
    druse(dir, &line.split_whitespace().collect::<Vec<_>>())
}

/// What is on stdout: one object and nothing else.
#[track_caller]
fn object(run: &Run) -> Value {
    assert!(run.stdout.starts_with('{') && run.stdout.ends_with("}\n"), "{}{}", run.stdout, run.stderr);
    serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.stdout))
}

/// Commands whose results are checked, and how they were called.
struct Checked<'a> {
    dir: &'a Path,
    schema: Value,
    seen: BTreeSet<String>,
}

impl Checked<'_> {
    /// Calls a command with `--json` and checks what it writes; the result.
    #[track_caller]
    fn run(&mut self, code: i32, line: &str) -> Value {
        let asked = match line.split_once(" -- ") {
            Some((own, others)) => format!("{own} --json -- {others}"),
            None => format!("{line} --json"),
        };
        let run = call(self.dir, &asked);
        assert_eq!(run.code, Some(code), "`{line}`: {}{}", run.stdout, run.stderr);
        let found = object(&run);
        let problems = violations(&self.schema, &self.schema, &found);
        assert!(problems.is_empty(), "`{line}`: {problems:#?}");
        let name = found["command"].as_str().unwrap();
        assert!(line.starts_with(name), "`{line}` says that it is {name}");
        assert_eq!(found.get("error").is_some(), code != 0, "`{line}`: an error is a failure");
        if code == 0 {
            let definition = &self.schema["$defs"][name.replace(' ', "_")];
            let problems = violations(&self.schema, definition, &found);
            assert!(problems.is_empty(), "`{line}`: {problems:#?}");
            if let Some(known) = members(&self.schema, definition) {
                for member in found.as_object().unwrap().keys() {
                    assert!(known.contains(member), "`{line}`: the schema does not know {member}");
                }
            }
            self.seen.insert(name.to_owned());
        }
        found
    }
}

/// Sets, pairs, tables, and models that were trained in a blink.
fn workplace(dir: &Path) {
    write_data(dir);
    train_tiny(dir, "m", "1").ok();
    for (name, cif) in &prototypes()[2..4] {
        fs::write(dir.join(format!("{name}.cif")), cif).unwrap();
    }
    let mut rows = "id,length,formation_energy_per_atom,cif\n".to_owned();
    for i in 0..12 {
        let a = 3.0 + 0.05 * f64::from(i);
        let cell = cif("CsCl", a, &[("Cs", [0.0; 3]), ("Cl", [0.5; 3])]);
        rows += &format!("c{i},{a},{},\"{cell}\"\n", -1.0 - 0.01 * f64::from(i));
    }
    fs::write(dir.join("cells.csv"), rows).unwrap();
    fs::write(dir.join("elements.csv"), "id,formula,energy_per_atom\na,Li,-1\nb,O2,-4\nc,Li2O,-5\n").unwrap();
    let pair = |a: usize, b: usize| {
        let list = prototypes();
        serde_json::json!({ "s1": { "cif": list[a].1 }, "s2": { "cif": list[b].1 } }).to_string()
    };
    fs::write(dir.join("pairs.jsonl"), format!("{}\n{}\nno pair\n", pair(2, 2), pair(2, 3))).unwrap();
    fs::write(
        dir.join("argon.toml"),
        "name = \"argon\"\ncutoff = 9.0\n\n[[pair]]\nelements = [\"Ar\", \"Ar\"]\nlennard-jones = { epsilon = 0.0103, sigma = 3.4 }\n",
    )
    .unwrap();
    let argon = |a: f64| {
        let half = a / 2.0;
        let sites = [[0.0; 3], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]];
        (format!("{half:.1}"), cif("argon", a, &sites.map(|site| ("Ar", site))))
    };
    fs::write(dir.join("argon.csv"), csv(&[argon(5.2), argon(5.4)])).unwrap();
}

#[test]
fn every_command_writes_what_the_schema_says() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    workplace(dir);
    let mut checked = Checked { dir, schema: schema(dir), seen: BTreeSet::new() };

    let tiny = "train --data data --out m --set train.epochs=2 --resume";
    let trained = checked.run(0, tiny);
    assert_eq!((&trained["epochs"], &trained["ending"]), (&2.into(), &"finished".into()));
    let sampled = checked.run(0, "sample --model m --formula NaCl --count 3 --out s");
    assert_eq!((&sampled["sampled"], &sampled["requested"]), (&3.into(), &3.into()));
    assert!(dir.join(sampled["structures_file"].as_str().unwrap()).is_file());
    for part in ["0/2", "1/2"] {
        let out = part.replace('/', "of");
        checked.run(0, &format!("sample --model m --formula NaCl --count 3 --out {out} --shard {part}"));
    }
    assert_eq!(checked.run(0, "merge 0of2 1of2 --out whole")["structures"], 3);
    let stated = checked.run(0, "info m");
    assert_eq!(stated["found"], "checkpoint");
    assert_eq!(checked.run(0, "info CsCl.cif")["structures"][0]["structure"]["space_group"], 221);
    assert_eq!(checked.run(0, "info data")["splits"]["whole"]["count"], 11);
    checked.run(0, "data convert data/train.csv images.safetensors");
    assert_eq!(checked.run(0, "info images.safetensors")["images"], 8);
    let machine = checked.run(0, "info --machine");
    assert_eq!((&machine["found"], &machine["devices_found"][0]), (&"machine".into(), &"cpu".into()));
    assert!(machine["products"][0]["gflops"].as_f64().unwrap() > 0.0, "{machine}");
    let conflict = checked.run(2, "info --machine m");
    assert!(conflict["error"]["message"].as_str().unwrap().contains("--machine"), "{conflict}");
    assert_eq!(checked.run(0, "data convert data/train.csv train.jsonl")["structures"], 8);
    checked.run(0, "data split data/train.csv --out parts");
    checked.run(0, "data split data/train.csv --out compositions --by formula");
    assert_eq!(checked.run(0, "data stats train.jsonl")["count"], 8);
    assert_eq!(checked.run(0, "data stats data")["whole"]["count"], 11);
    let evaluated =
        checked.run(0, "evaluate data/train.csv --reference data/val.csv --no-cache --bootstrap 0");
    assert_eq!((&evaluated["format"], &evaluated["task"]), (&1.into(), &"generation".into()));
    for out in ["a.json", "b.json"] {
        let line =
            format!("evaluate data/train.csv --reference data/val.csv --no-cache --bootstrap 0 --json {out}");
        assert!(call(dir, &line).ok().stdout.contains("COV-R"), "a file leaves stdout to people");
    }
    checked.run(0, "compare a.json b.json");
    let hull = checked.run(0, "hull elements.csv --system Li-O");
    assert_eq!(hull["system"]["stable"].as_array().unwrap().len(), 3);
    let rows = checked.run(0, "featurize data/val.csv --features validity,symmetry");
    assert_eq!((&rows["count"], rows["rows"].as_array().unwrap().len()), (&3.into(), 3));
    checked.run(0, "featurize data/val.csv --features validity --out f.jsonl");
    assert_eq!(checked.run(0, "match CsCl.cif NiAl.cif")["fit"], false);
    let pairs = checked.run(0, "match --pairs pairs.jsonl");
    assert_eq!((&pairs["count"], &pairs["fitting"], &pairs["failed"]), (&3.into(), &1.into(), &1.into()));
    checked.run(0, "match --pairs pairs.jsonl --out v.jsonl");
    let relaxed = checked.run(0, "relax argon.csv --potential argon.toml --out r");
    assert_eq!(relaxed["converged"], 2);
    let ranked = checked.run(0, "rank r --out ranked.jsonl");
    assert_eq!((&ranked["groups"], &ranked["written"]), (&1.into(), &2.into()));
    let screened =
        "screen argon.csv --reference argon.csv --potential argon.toml --references as-they-are --out sc";
    let screened = checked.run(0, &format!("{screened} --no-cache"));
    assert_eq!(screened["ending"], "ranked", "{screened}");
    checked.run(0, "config schema");
    assert_eq!(checked.run(0, "config show")["config"]["train"]["seed"], 0);
    assert!(checked.run(0, "config presets")["presets"].as_array().unwrap().len() > 5);
    checked.run(0, "export m --out slim.safetensors");
    checked.run(0, "bench graph --seconds 0 --batch-size 2");
    let job = checked.run(0, "cluster slurm --shards 2 -- sample --formula NaCl --out c");
    assert_eq!(job["commands"].as_array().unwrap().len(), 2, "{job}");
    for page in ["cli", "config", "json", "json-schema"] {
        checked.run(0, &format!("reference {page}"));
    }
    predictions(&mut checked);
    latents(&mut checked);
    let torch =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../druse-models/tests/fixtures/torch/cdvae_half.pt");
    checked.run(0, &format!("import {} --dataset mp_20 --out i.safetensors", torch.display()));

    // What needs files of other programs or the network, or serves until it is ended, fails as the schema says.
    assert_eq!(checked.run(2, "parity elements.csv")["error"]["kind"], "input");
    assert_eq!(checked.run(2, "data fetch nothing")["error"]["kind"], "input");
    assert_eq!(checked.run(2, "view nothing")["error"]["kind"], "input");
    let mut all: BTreeSet<String> = checked.schema["$defs"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(|of| of["description"].as_str()?.strip_prefix("`druse ")?.strip_suffix('`'))
        .map(str::to_owned)
        .collect();
    for failing in ["parity", "data fetch", "view"] {
        assert!(all.remove(failing), "{failing}");
    }
    assert_eq!(checked.seen, all, "a command has no result that was checked");
}

/// A property predictor and what it says.
fn predictions(checked: &mut Checked<'_>) {
    let sizes = "model.network={hidden=8,interaction=4,basis=4,output_embedding=8,blocks=1,num_spherical=3,num_radial=3,cutoff=7.0,before_skip=1,after_skip=1,output_layers=1}";
    let train = format!(
        "train --preset property-small --data cells.csv --out p --set model.property=length --set {sizes} --set train.epochs=1 --set train.batch_size=8"
    );
    checked.run(0, &train);
    let predicted = checked.run(0, "predict p cells.csv --html p.html --structures with.jsonl");
    assert_eq!((&predicted["structures"], predicted["rows"].as_array().unwrap().len()), (&12.into(), 12));
    assert!(predicted["errors"]["mean_absolute"].is_f64());
    let page = fs::read_to_string(checked.dir.join("p.html")).unwrap();
    assert!(page.contains("12 pairs: mean absolute difference") && page.contains("Largest errors"));
    assert!(checked.run(0, "predict p cells.csv --out p.csv").get("rows").is_none());
}

/// A model with a latent space and what is done with it.
fn latents(checked: &mut Checked<'_>) {
    let settings = [
        "model.encoder={hidden=8,interaction=4,basis=4,output_embedding=8,blocks=1}",
        "model.decoder={hidden=8,triplet=4,basis=4,bilinear=4,num_radial=8,num_spherical=3,blocks=1,neighbors=6}",
        "model.latent=6",
        "model.head=8",
        "model.noise={levels=4}",
        "model.property=length",
        "train.epochs=1",
        "train.batch_size=4",
        "sampling.steps_per_level=3",
    ];
    let settings: String = settings.map(|setting| format!(" --set {setting}")).concat();
    checked.run(0, &format!("train --preset cdvae-small --data cells.csv --out v{settings}"));
    assert_eq!(checked.run(0, "encode --model v cells.csv --out l.jsonl")["latents"], 12);
    let made = checked.run(0, "reconstruct --model v cells.csv --count 2 --out re");
    assert_eq!((&made["task"], &made["sampling"]["requested"]), (&"reconstruction".into(), &2.into()));
    assert!(
        checked.run(0, "reconstruct --model v cells.csv --count 2 --out rn --no-evaluation")["task"]
            .is_null()
    );
    checked.run(0, "interpolate --model v CsCl.cif CsCl.cif --points 2 --out way");
    let line = "optimize --model v --data cells.csv --count 1 --steps 2 --every 2 --property length --minimize --out o";
    assert_eq!(checked.run(0, &format!("{line} --predictor p"))["starts"], 1);
}

#[test]
fn errors_are_json_with_the_same_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    fs::write(dir.join("bad.cif"), "data_x\n_cell_length_a none\n").unwrap();
    let schema = schema(dir);
    for (line, code, kind, words, file) in [
        ("data stats missing.csv", 2, "input", "missing.csv", Some("missing.csv")),
        ("match bad.cif bad.cif", 2, "input", "bad.cif", Some("bad.cif")),
        ("data stats", 2, "usage", "required", None),
        ("data stats data --color", 2, "usage", "--color", None),
        ("nothing", 2, "usage", "nothing", None),
        ("sample --formula Xx --out s", 2, "input", "Xx", None),
        ("featurize data/val.csv --features validity --out -", 0, "", "", None),
        ("data convert data/val.csv - --format cif", 2, "input", "both ask for standard output", None),
    ] {
        let plain = call(dir, line);
        let run = call(dir, &format!("{line} --json"));
        assert_eq!(run.code, Some(code), "`{line}`: {}{}", run.stdout, run.stderr);
        let found = object(&run);
        let problems = violations(&schema, &schema, &found);
        assert!(problems.is_empty(), "`{line}`: {problems:#?}");
        if kind.is_empty() {
            continue;
        }
        let error = &found["error"];
        assert_eq!((&error["kind"], &error["exit_code"]), (&kind.into(), &code.into()), "{line}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(words) && !message.starts_with("error"), "`{line}`: {message}");
        assert_eq!(error["where"]["file"].as_str(), file, "{line}: {error}");
        // People are told, too.
        assert!(run.stderr.contains(message), "`{line}`: {}", run.stderr);
        assert!(plain.code == Some(code) || line.contains("convert"), "`{line}`: {plain:?}");
    }
    assert!(object(&call(dir, "match bad.cif bad.cif --json"))["error"]["where"]["row"].is_null());
}

#[test]
fn files_are_written_whole_and_only_over_results() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    let run = call(dir, "data stats data/val.csv --json stats.json").ok();
    assert!(run.stdout.contains("3 structures") || run.stdout.contains("structures"), "{}", run.stdout);
    let text = fs::read_to_string(dir.join("stats.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["command"], "data stats");
    // A failure leaves the file, a later result replaces it.
    call(dir, "data stats missing.csv --json stats.json").fails(2, &["missing.csv"]);
    assert_eq!(fs::read_to_string(dir.join("stats.json")).unwrap(), text);
    call(dir, "data stats data/train.csv --json stats.json").ok();
    assert_ne!(fs::read_to_string(dir.join("stats.json")).unwrap(), text);
    // A structure that was meant as an argument stays.
    let structure = r#"{"@module": "pymatgen.core.structure", "lattice": {}, "sites": []}"#;
    fs::write(dir.join("salt.json"), structure).unwrap();
    call(dir, "info --json salt.json").fails(2, &["salt.json", "not replaced", "put --json last"]);
    assert_eq!(fs::read_to_string(dir.join("salt.json")).unwrap(), structure);
    // Warnings are part of the result.
    fs::write(dir.join("two.csv"), csv(&[prototypes()[0].clone(), ("broken".into(), "no cif".into())]))
        .unwrap();
    let found = object(&call(dir, "featurize two.csv --features validity --json").ok());
    assert_eq!(found["warnings"], serde_json::json!(["1 of 2 rows have an `error`"]));
}

/// Calls a command with text on its standard input.
fn fed(dir: &Path, input: &[u8], line: &str) -> Run {
    let mut child = command(dir)
        .args(line.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not want it all has had enough.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn structures_come_through_standard_input() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    workplace(dir);
    let salt = fs::read(dir.join("CsCl.cif")).unwrap();
    let run = fed(dir, &salt, "info -").ok();
    assert!(run.stdout.starts_with("stdin: CsCl (2 atoms)"), "{}", run.stdout);
    // In every format, told by its content or by the option.
    for format in ["cif", "poscar", "extxyz", "json", "jsonl", "csv"] {
        let text = fed(dir, &salt, &format!("data convert - - --format {format}")).ok().stdout;
        for option in [String::new(), format!(" --input-format {format}")] {
            let found = object(&fed(dir, text.as_bytes(), &format!("match - CsCl.cif --json{option}")).ok());
            assert_eq!(found["fit"], true, "{format}{option}: {text}");
        }
    }
    let table = fs::read(dir.join("cells.csv")).unwrap();
    assert_eq!(object(&fed(dir, &table, "data stats - --json").ok())["count"], 12);
    let lines = fed(dir, &table, "data convert - --out -").ok().stdout;
    assert_eq!(lines.lines().count(), 12);
    assert_eq!(object(&fed(dir, lines.as_bytes(), "data stats - --json").ok())["count"], 12);
    let run = fed(dir, &table, "evaluate cells.csv --reference - --no-cache --bootstrap 0 --json").ok();
    assert_eq!(object(&run)["metrics"]["cov_recall"], 1.0);
    fed(dir, &table, "train --preset substitute --data - --out sub").ok();
    let relaxed =
        fed(dir, &fs::read(dir.join("argon.csv")).unwrap(), "relax - --out - --potential argon.toml").ok();
    assert_eq!(relaxed.stdout.lines().count(), 2, "{}", relaxed.stdout);
    let ranked = fed(dir, relaxed.stdout.as_bytes(), "rank - --out -").ok();
    assert!(ranked.stdout.lines().all(|line| line.contains("rank_score")), "{}", ranked.stdout);

    // What is wrong is said of `stdin`.
    fed(dir, b"\x00\x01 nothing", "info -").fails(2, &["stdin"]);
    fed(dir, b"", "data stats -").fails(2, &["stdin", "0 bytes"]);
    fed(dir, &salt, "match - -").fails(2, &["named twice"]);
    fed(dir, &salt, "info - --input-format pdb").fails(2, &["pdb", "cif"]);
    fed(dir, &salt, "info CsCl.cif --input-format cif").fails(2, &["standard input"]);
    fed(dir, b"data_x\n_cell_length_a 3\n", "match - CsCl.cif").fails(2, &["stdin"]);
    fed(dir, &salt, "cluster slurm --shards 2 -- relax - --out r").fails(2, &["standard input"]);
    fed(dir, &salt, "cluster slurm --shards 2 -- relax CsCl.cif --out -").fails(2, &["standard output"]);
    fed(dir, &salt, "cluster slurm --shards 2 -- relax CsCl.cif --out r --json").fails(2, &["--json"]);
}

#[test]
fn structures_go_to_standard_output_as_they_are_finished() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    train_tiny(dir, "m", "1").ok();
    call(dir, "sample --model m --formula NaCl --count 4 --out s").ok();
    let folder = fs::read_to_string(dir.join("s/structures.jsonl")).unwrap();
    let run = call(dir, "sample --model m --formula NaCl --count 4 --out -").ok();
    assert_eq!(run.stdout, folder, "the same lines as in a folder");
    assert!(!dir.join("-").exists());
    let cifs = call(dir, "sample --model m --formula NaCl --count 4 --out - --format cif").ok().stdout;
    assert_eq!(cifs.matches("data_").count(), 4);
    assert_eq!(object(&fed(dir, cifs.as_bytes(), "data stats - --json").ok())["count"], 4);
    for (line, words) in [
        ("--out - --format poscar", "hold one structure"),
        ("--out - --resume", "--resume needs a folder"),
        ("--out - --json", "both ask for standard output"),
    ] {
        call(dir, &format!("sample --model m --formula NaCl --count 4 {line}")).fails(2, &[words]);
    }
    for line in [
        "train --data data --out -",
        "export m --out -",
        "merge s --out -",
        "data split data/train.csv --out -",
    ] {
        call(dir, line).fails(2, &["`-` is standard output"]);
    }
    call(dir, "evaluate data/train.csv --reference data/val.csv --html - --json")
        .fails(2, &["--json and --html both ask for standard output"]);
    call(dir, "predict m data/train.csv --structures -").fails(2, &["--out and --structures both ask"]);
    let run = call(dir, "sample --model m --formula NaCl --count 4 --out - --json sample.json").ok();
    assert_eq!(run.stdout, folder);
    let found: Value = serde_json::from_str(&fs::read_to_string(dir.join("sample.json")).unwrap()).unwrap();
    assert_eq!((&found["out"], &found["sampled"]), (&"-".into(), &4.into()));
}

/// A reader that goes away ends the program without a word about it.
#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    use std::process::Command;

    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    train_tiny(dir, "m", "1").ok();
    let program = env!("CARGO_BIN_EXE_druse");
    for line in [
        "sample --model m --formula NaCl --count 200 --out -",
        "reference cli",
        "data convert data/train.csv - --format csv",
        "featurize data/train.csv --features validity",
        "data stats data --json",
        "data stats data 2>&1",
    ] {
        let script = format!("'{program}' {line} | true; echo ${{PIPESTATUS[0]}}");
        let output = Command::new("bash").args(["-c", &script]).current_dir(dir).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.trim(), "0", "`{line}`: {said}");
        assert!(!said.contains("panicked") && !said.contains("Broken pipe"), "`{line}`: {said}");
    }
}
