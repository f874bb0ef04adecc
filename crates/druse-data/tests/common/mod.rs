//! Helpers shared by the integration tests: reference data, small crystals, files.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::Write;
use std::path::{Path, PathBuf};

use druse_data::{Cache, LoadOptions};
use flate2::{Compression, write::GzEncoder};

/// A CIF of the rock-salt structure, conventional cell of edge `a` (Å).
pub fn rock_salt(cation: &str, anion: &str, a: f64) -> String {
    let fcc = [[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]];
    let mut sites = String::new();
    for (k, [x, y, z]) in fcc.into_iter().enumerate() {
        sites.push_str(&format!(" {cation} {cation}{k} {x} {y} {z}\n"));
    }
    for (k, [x, y, z]) in fcc.into_iter().enumerate() {
        sites.push_str(&format!(" {anion} {anion}{} {} {y} {z}\n", k + 4, (x + 0.5) % 1.0));
    }
    cif(&format!("{cation}{anion}"), [a, a, a, 90.0, 90.0, 90.0], &sites)
}

/// A CIF of the CsCl structure of edge `a` (Å).
pub fn cscl(cation: &str, anion: &str, a: f64) -> String {
    let sites = format!(" {cation} {cation}0 0 0 0\n {anion} {anion}1 0.5 0.5 0.5\n");
    cif(&format!("{cation}{anion}"), [a, a, a, 90.0, 90.0, 90.0], &sites)
}

/// A P1 CIF; `sites` holds lines of symbol, label, x, y, z.
pub fn cif(name: &str, [a, b, c, al, be, ga]: [f64; 6], sites: &str) -> String {
    format!(
        "data_{name}\n_symmetry_space_group_name_H-M 'P 1'\n_cell_length_a {a}\n_cell_length_b {b}\n\
         _cell_length_c {c}\n_cell_angle_alpha {al}\n_cell_angle_beta {be}\n_cell_angle_gamma {ga}\n\
         loop_\n _atom_site_type_symbol\n _atom_site_label\n _atom_site_fract_x\n _atom_site_fract_y\n \
         _atom_site_fract_z\n{sites}"
    )
}

/// A CSV text from a header and rows of fields, quoted where needed.
pub fn csv_text(header: &[&str], rows: &[Vec<String>]) -> String {
    let quote = |field: &str| {
        if field.contains([',', '\n', '"']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field.to_owned()
        }
    };
    let mut text = header.join(",") + "\n";
    for row in rows {
        text.push_str(&(row.iter().map(|f| quote(f)).collect::<Vec<_>>().join(",") + "\n"));
    }
    text
}

/// Four alkali halides with properties, as the field's tables have them: index, id, CIF, numbers, text, truth values.
pub fn halides() -> String {
    let row = |k: usize, id: &str, cif: String, gap: &str, formula: &str, theoretical: &str| {
        vec![k.to_string(), id.to_owned(), cif, gap.to_owned(), formula.to_owned(), theoretical.to_owned()]
    };
    csv_text(
        &["", "material_id", "cif", "band_gap", "pretty_formula", "theoretical"],
        &[
            row(7, "salt", rock_salt("Na", "Cl", 5.64), "5.0", "NaCl", "False"),
            row(3, "sylvite", rock_salt("K", "Cl", 6.29), "5.1", "KCl", "False"),
            row(9, "cscl", cscl("Cs", "Cl", 4.12), "", "CsCl", "False"),
            row(1, "lif", rock_salt("Li", "F", 4.03), "8.7e0", "LiF", "True"),
        ],
    )
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Options without a cache.
pub fn plain() -> LoadOptions {
    LoadOptions { cache: Cache::Off, ..LoadOptions::default() }
}

/// Writes a file and gives its path.
pub fn put(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    path
}
