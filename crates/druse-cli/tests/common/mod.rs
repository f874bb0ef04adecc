//! Runs the real binary and writes data for it.
#![allow(dead_code, reason = "every test file uses its part")]

pub mod ranks;
pub mod schema;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use druse_testkit::prototype;

/// Result of a call of the program.
#[derive(Debug)]
pub struct Run {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Run {
    /// Asserts success.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Asserts an exit code and an error message with these words, and that nothing panicked.
    #[track_caller]
    pub fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        assert!(self.stderr.contains("error:"), "{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not in: {}", self.stderr);
        }
        self
    }
}

/// The program with a cache of its own in `dir`, which is also its working folder.
pub fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_druse"));
    command.current_dir(dir).env("DRUSE_CACHE", dir.join(".cache")).env_remove("DRUSE_LOG");
    command
}

/// Calls the program.
pub fn druse(dir: &Path, arguments: &[&str]) -> Run {
    let Output { status, stdout, stderr } = command(dir).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// The commands of all ```sh blocks of a page, in order.
pub fn shell_commands(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let mut commands = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.trim() {
            "```sh" => inside = true,
            "```" => inside = false,
            command if inside && !command.is_empty() => commands.push(command.to_owned()),
            _ => {}
        }
    }
    commands
}

/// Calls the program where no file may grow beyond so many blocks of 512 bytes.
pub fn within_file_size(dir: &Path, blocks: u32, arguments: &str) -> Run {
    let program = env!("CARGO_BIN_EXE_druse");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec '{program}' {arguments}");
    let Output { status, stdout, stderr } =
        Command::new("dash").args(["-c", &script]).current_dir(dir).env("DRUSE_CACHE", dir).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// A P1 CIF of a cubic cell.
pub fn cif(name: &str, edge: f64, sites: &[(&str, [f64; 3])]) -> String {
    let mut text = format!("data_{name}\n");
    for (key, value) in [("length_a", edge), ("length_b", edge), ("length_c", edge)] {
        text += &format!("_cell_{key} {value}\n");
    }
    for key in ["alpha", "beta", "gamma"] {
        text += &format!("_cell_angle_{key} 90\n");
    }
    text += "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n";
    for (i, (element, [x, y, z])) in sites.iter().enumerate() {
        text += &format!("{element}{i} {element} {x} {y} {z}\n");
    }
    text
}

/// Eight prototypes of one to five atoms in cubic cells as id and CIF.
pub fn prototypes() -> Vec<(String, String)> {
    ["Po", "Fe", "CsCl", "NiAl", "CsBr", "SrTiO3", "BaTiO3", "KTaO3"]
        .map(|name| {
            let s = prototype(name);
            let sites: Vec<_> = s.species.iter().map(|e| e.symbol()).zip(s.frac_coords).collect();
            (name.to_owned(), cif(name, s.lattice.parameters()[0], &sites))
        })
        .into()
}

/// A CSV table with a `cif` column.
pub fn csv(rows: &[(String, String)]) -> String {
    let mut text = "material_id,cif\n".to_owned();
    for (id, cif) in rows {
        text += &format!("{id},\"{cif}\"\n");
    }
    text
}

/// Writes `data/train.csv` and `data/val.csv` of prototypes.
pub fn write_data(dir: &Path) -> PathBuf {
    let data = dir.join("data");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("train.csv"), csv(&prototypes())).unwrap();
    fs::write(data.join("val.csv"), csv(&prototypes()[..3])).unwrap();
    data
}

/// Sizes of a model that trains in a blink.
pub const TINY: [&str; 14] = [
    "--preset",
    "gemsdiff-paper",
    "--set",
    "model.decoder={hidden=8, triplet=4, basis=4, bilinear=4, lattice_head=4, num_radial=8, num_spherical=3, blocks=1, cutoff=6.0}",
    "--set",
    "model.encoder={hidden=8, triplet=4, basis=4, bilinear=4, lattice_head=4, num_radial=8, num_spherical=3, blocks=1, cutoff=6.0}",
    "--set",
    "model.steps=5",
    "--set",
    "model.knn=8",
    "--set",
    "model.latent=8",
    "--set",
    "train.batch_size=3",
];

/// Trains the tiny model for some epochs in `dir/out`.
pub fn train_tiny(dir: &Path, out: &str, epochs: &str) -> Run {
    let epochs = format!("train.epochs={epochs}");
    let arguments = [&["train", "--data", "data", "--out", out, "--set", &epochs], &TINY[..]].concat();
    druse(dir, &arguments)
}
