//! The potentials that the program knows by name, and those of files.

use std::path::{Path, PathBuf};

use druse_crystal::Element;
use druse_crystal::files::{self, FileError};
use druse_potential::{CHGNet, LoadError, SevenNet};
use druse_relax::pair::{LennardJones, PairPotential, PairTable, PairTableError};
use druse_relax::{Ensemble, Potential};

/// The potential that is used where none is named.
pub const DEFAULT_POTENTIAL: &str = "sevennet";

/// A potential with a name.
#[derive(Clone, Copy)]
pub struct NamedPotential {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    load: fn() -> LoadedPotential,
}

/// All potentials with a name, a line each.
pub const POTENTIALS: &[NamedPotential] = &[
    NamedPotential {
        name: "sevennet",
        about: "SevenNet-0 of 11 July 2024, a network trained on the Materials Project: 89 elements",
        load: || LoadedPotential::new(SevenNet::shipped(), "SevenNet-0 11Jul2024"),
    },
    NamedPotential {
        name: "chgnet",
        about: "CHGNet 0.3.0, a network trained on the Materials Project: 94 elements, magnetic moments",
        load: || LoadedPotential::new(CHGNet::shipped(), "CHGNet 0.3.0"),
    },
    NamedPotential {
        name: "spheres",
        about: "Lennard-Jones spheres with the covalent radii of all elements, 0.1 eV deep: for trying things out, no chemistry",
        load: || LoadedPotential::new(spheres(), "spheres 1"),
    },
];

/// A potential, or one with others beside it, and what it is.
pub struct LoadedPotential {
    /// The potential.
    pub potential: Box<dyn Potential>,
    /// Its name with the version or the hash of its parameters: equal where it gives equal numbers.
    pub identity: String,
}

impl LoadedPotential {
    /// A potential that is identified by a text.
    pub fn new(potential: impl Potential + 'static, identity: impl Into<String>) -> Self {
        Self { potential: Box::new(potential), identity: identity.into() }
    }
}

/// Why there is no such potential.
#[derive(Debug, thiserror::Error)]
pub enum PotentialsError {
    /// The name is that of no potential, and there is no such file.
    #[error("`{name}` is neither a potential nor a file of one; potentials: {}", known())]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// Of several potentials, two have one name.
    #[error("two of the potentials are called `{name}`")]
    Twice {
        /// The name.
        name: String,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file holds no network that is a potential.
    #[error(transparent)]
    Network(#[from] LoadError),
    /// The file is no table of a pair potential.
    #[error("`{}` is no table of a pair potential: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// The table gives no potential.
    #[error("`{}`: {source}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: PairTableError,
    },
}

fn known() -> String {
    POTENTIALS.iter().map(|p| p.name).collect::<Vec<_>>().join(", ")
}

/// The potential of a name, of a weight file of a network (`.safetensors`), or of a TOML file with the table of a pair potential
/// ([`PairTable`]). Several, separated by commas, are an [`Ensemble`]: the first relaxes, all are asked for energies.
///
/// # Errors
/// [`PotentialsError`].
pub fn load(names: &str) -> Result<LoadedPotential, PotentialsError> {
    if !names.contains(',') || Path::new(names).is_file() {
        return load_one(names);
    }
    let mut all = Vec::new();
    for name in names.split(',').map(str::trim) {
        let loaded = load_one(name)?;
        if all.iter().any(|other: &LoadedPotential| other.potential.name() == loaded.potential.name()) {
            return Err(PotentialsError::Twice { name: loaded.potential.name().to_owned() });
        }
        all.push(loaded);
    }
    let identity = all.iter().map(|p| p.identity.as_str()).collect::<Vec<_>>().join(", ");
    let mut all = all.into_iter().map(|p| p.potential);
    let first = all.next().expect("a text has a part before its first comma");
    Ok(LoadedPotential::new(Ensemble::new(first, all.collect()), identity))
}

fn load_one(name_or_path: &str) -> Result<LoadedPotential, PotentialsError> {
    if let Some(named) = POTENTIALS.iter().find(|p| p.name == name_or_path) {
        return Ok((named.load)());
    }
    let path = Path::new(name_or_path);
    if path.extension().is_some_and(|extension| extension == "safetensors") {
        let hash = blake3::hash(&files::read(path)?).to_hex();
        let potential = druse_potential::load(path)?;
        let identity = format!("{} {hash}", potential.name());
        return Ok(LoadedPotential { potential, identity });
    }
    let looks_like_a_file = path.extension().is_some() || path.components().count() > 1;
    if !looks_like_a_file && !path.is_file() {
        return Err(PotentialsError::Unknown { name: name_or_path.to_owned() });
    }
    let text = files::read_to_string(path)?;
    let table: PairTable = toml::from_str(&text)
        .map_err(|e| PotentialsError::Syntax { path: path.to_owned(), reason: e.to_string() })?;
    let potential =
        table.potential().map_err(|source| PotentialsError::Table { path: path.to_owned(), source })?;
    // By its numbers: comments and spaces change nothing.
    let numbers = serde_json::to_vec(&table).expect("a table is plain text and numbers");
    let identity = format!("{} {}", table.name, blake3::hash(&numbers).to_hex());
    Ok(LoadedPotential::new(potential, identity))
}

/// Spheres with the covalent radii of the elements: the minimum of each pair lies at the sum of its radii.
fn spheres() -> PairPotential {
    /// Depth of each pair (eV).
    const EPSILON: f64 = 0.1;
    /// Å.
    const CUTOFF: f64 = 6.0;
    let radii: Vec<(Element, f64)> = Element::all().filter_map(|e| Some((e, e.covalent_radius()?))).collect();
    let mut potential = PairPotential::new("spheres", CUTOFF);
    for (i, &(a, radius)) in radii.iter().enumerate() {
        for &(b, other) in &radii[i..] {
            let sigma = (radius + other) / 2f64.powf(1.0 / 6.0);
            potential = potential.with(a, b, LennardJones { epsilon: EPSILON, sigma });
        }
    }
    potential
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_and_files_give_potentials() {
        let spheres = load("spheres").unwrap();
        assert!(
            ["H", "Fe", "O", "U"].iter().all(|e| spheres.potential.knows(Element::from_symbol(e).unwrap()))
        );
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("argon.toml");
        let text = "name = \"argon\"\ncutoff = 9.0\n[[pair]]\nelements = [\"Ar\", \"Ar\"]\nlennard-jones = { epsilon = 0.0103, sigma = 3.4 }\n";
        fs::write(&path, text).unwrap();
        let name = path.to_str().unwrap();
        let first = load(name).unwrap();
        assert_eq!((first.potential.name(), first.potential.cutoff()), ("argon", 9.0));
        fs::write(&path, format!("# of a textbook\n{text}")).unwrap();
        assert_eq!(load(name).unwrap().identity, first.identity);
        fs::write(&path, text.replace("3.4", "3.5")).unwrap();
        assert_ne!(load(name).unwrap().identity, first.identity);
        let says = |name: &str, words: &str| {
            let message = load(name).map(|_| ()).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        };
        fs::write(&path, text.replace("Ar", "Xx")).unwrap();
        says(name, "`Xx` is no element");
        fs::write(&path, text.replace("sigma", "sgma")).unwrap();
        says(name, "sgma");
        says("lennard", "neither a potential nor a file");
        says("none.toml", "none.toml");
        says("none.safetensors", "none.safetensors");
        says("spheres,lennard", "`lennard` is neither a potential nor a file");
        says("spheres,spheres", "two of the potentials are called `spheres`");
        let both = load("chgnet, spheres").unwrap();
        assert_eq!((both.potential.name(), both.identity.as_str()), ("chgnet", "CHGNet 0.3.0, spheres 1"));
        let network = load(DEFAULT_POTENTIAL).unwrap();
        assert!(network.potential.knows(Element::from_symbol("Fe").unwrap()));
    }
}
