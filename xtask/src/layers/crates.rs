//! The order of the crates.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::Violation;

/// Every crate and the crates of the project that it may depend on (dependencies for tests aside).
pub(super) const CRATES: &[(&str, &[&str])] = &[
    ("druse-crystal", &[]),
    ("druse-data", &["druse-crystal"]),
    ("druse-page", &["druse-crystal"]),
    ("druse-nn", &["druse-crystal"]),
    ("druse-metrics", &["druse-crystal", "druse-data"]),
    ("druse-relax", &["druse-crystal"]),
    ("druse-potential", &["druse-crystal", "druse-nn", "druse-relax"]),
    ("druse-models", &["druse-crystal", "druse-data", "druse-nn", "druse-relax"]),
    ("druse-evaluate", &["druse-crystal", "druse-data", "druse-metrics", "druse-page"]),
    ("druse-view", &["druse-crystal", "druse-data", "druse-metrics", "druse-page"]),
    (
        "druse-run",
        &[
            "druse-crystal",
            "druse-data",
            "druse-nn",
            "druse-metrics",
            "druse-relax",
            "druse-potential",
            "druse-models",
            "druse-evaluate",
            "druse-page",
        ],
    ),
    ("druse-testkit", &["druse-crystal", "druse-data", "druse-nn", "druse-models", "druse-run"]),
    (
        "druse",
        &[
            "druse-crystal",
            "druse-data",
            "druse-nn",
            "druse-metrics",
            "druse-relax",
            "druse-potential",
            "druse-models",
            "druse-evaluate",
            "druse-page",
            "druse-run",
        ],
    ),
    (
        "druse-cli",
        &[
            "druse-crystal",
            "druse-data",
            "druse-nn",
            "druse-metrics",
            "druse-relax",
            "druse-potential",
            "druse-models",
            "druse-evaluate",
            "druse-page",
            "druse-run",
            "druse-view",
            "druse",
        ],
    ),
    (
        "druse-python",
        &["druse-crystal", "druse-data", "druse-relax", "druse-evaluate", "druse-run", "druse-cli"],
    ),
    ("xtask", &[]),
];

/// Crates that must build without the tensor engine.
const WITHOUT_ENGINE: &[&str] = &[
    "druse-crystal",
    "druse-data",
    "druse-page",
    "druse-metrics",
    "druse-relax",
    "druse-evaluate",
    "druse-view",
    "xtask",
];

/// What the engine's crates are called.
fn is_engine(name: &str) -> bool {
    name == "burn" || name.starts_with("burn-") || name == "cubecl" || name.starts_with("cubecl-")
}

/// A package of the workspace.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub name: String,
    pub folder: PathBuf,
    /// Names of all dependencies, optional ones included, those for tests not.
    dependencies: BTreeSet<String>,
}

impl Member {
    fn parse(text: &str, folder: PathBuf) -> Result<Self, String> {
        let shown = folder.join("Cargo.toml").display().to_string();
        let manifest: Table = text.parse().map_err(|e| format!("{shown}: {e}"))?;
        let name = manifest.get("package").and_then(|p| p.get("name")).and_then(Value::as_str);
        let name = name.ok_or_else(|| format!("{shown} names no package"))?.to_owned();
        let mut tables: Vec<&Table> = vec![&manifest];
        let targets = manifest.get("target").and_then(Value::as_table);
        tables.extend(targets.into_iter().flat_map(|t| t.values().filter_map(Value::as_table)));
        let mut dependencies = BTreeSet::new();
        for table in tables {
            for kind in ["dependencies", "build-dependencies"] {
                for (key, value) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
                    let package = value.get("package").and_then(Value::as_str).unwrap_or(key);
                    dependencies.insert(package.to_owned());
                }
            }
        }
        Ok(Self { name, folder, dependencies })
    }
}

/// The packages of the workspace in `root`.
pub(super) fn members(root: &Path) -> Result<Vec<Member>, String> {
    let read =
        |path: PathBuf| fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()));
    let workspace: Table = read(root.join("Cargo.toml"))?.parse().map_err(|e| format!("Cargo.toml: {e}"))?;
    let listed = workspace.get("workspace").and_then(|w| w.get("members")).and_then(Value::as_array);
    let mut folders = Vec::new();
    for pattern in listed.ok_or("Cargo.toml lists no members")?.iter().filter_map(Value::as_str) {
        match pattern.strip_suffix("/*") {
            None => folders.push(root.join(pattern)),
            Some(parent) => {
                let inside =
                    fs::read_dir(root.join(parent)).map_err(|e| format!("cannot read {parent}: {e}"))?;
                folders.extend(inside.flatten().map(|f| f.path()).filter(|f| f.join("Cargo.toml").is_file()));
            }
        }
    }
    folders.sort();
    folders.into_iter().map(|folder| Member::parse(&read(folder.join("Cargo.toml"))?, folder)).collect()
}

/// Dependencies that are not declared in [`CRATES`], and ways from a crate without engine to the engine.
pub(super) fn violations(members: &[Member]) -> Vec<Violation> {
    let allowed: BTreeMap<&str, &[&str]> = CRATES.iter().copied().collect();
    let known: BTreeMap<&str, &Member> = members.iter().map(|m| (m.name.as_str(), m)).collect();
    let mut found = Vec::new();
    for member in members {
        let place = vec![member.folder.join("Cargo.toml").display().to_string()];
        let Some(allowed) = allowed.get(member.name.as_str()) else {
            let rule = format!("crate `{}` has no place in the declared order of the crates", member.name);
            found.push(Violation { rule, places: place });
            continue;
        };
        for dependency in member.dependencies.iter().filter(|d| known.contains_key(d.as_str())) {
            if !allowed.contains(&dependency.as_str()) {
                let rule =
                    format!("crate `{}` depends on `{dependency}`, against the declared order", member.name);
                found.push(Violation { rule, places: place.clone() });
            }
        }
        if WITHOUT_ENGINE.contains(&member.name.as_str())
            && let Some(way) = way_to_engine(&known, &member.name)
        {
            let rule = format!("crate `{}` must build without the tensor engine: {way}", member.name);
            found.push(Violation { rule, places: place });
        }
    }
    found
}

/// `a → b → burn`, the shortest way.
fn way_to_engine(known: &BTreeMap<&str, &Member>, start: &str) -> Option<String> {
    let mut ways = std::collections::VecDeque::from([vec![start.to_owned()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        let last = way.last()?;
        for next in known.get(last.as_str()).into_iter().flat_map(|m| &m.dependencies) {
            let longer: Vec<String> = way.iter().chain([next]).cloned().collect();
            if is_engine(next) {
                return Some(longer.join(" → "));
            }
            if seen.insert(next) {
                ways.push_back(longer);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, rest: &str) -> Member {
        let text = format!("[package]\nname = \"{name}\"\n{rest}");
        Member::parse(&text, PathBuf::from(name)).unwrap()
    }

    fn rules(members: &[Member]) -> Vec<String> {
        violations(members).into_iter().map(|v| v.rule).collect()
    }

    #[test]
    fn declared_dependencies_are_fine() {
        let crystal = member("druse-crystal", "");
        let nn = member("druse-nn", "[dependencies]\nburn = \"1\"\ndruse-crystal.workspace = true");
        let data = member(
            "druse-data",
            "[dependencies]\ndruse-crystal.workspace = true\n[dev-dependencies]\ndruse-nn.workspace = true",
        );
        assert_eq!(rules(&[crystal, nn, data]), Vec::<String>::new());
    }

    #[test]
    fn dependencies_against_the_order_are_found() {
        let crystal = member(
            "druse-crystal",
            "[target.'cfg(unix)'.dependencies]\ngeometry = { package = \"druse-data\" }",
        );
        let data = member("druse-data", "");
        let new = member("druse-new", "");
        assert_eq!(
            rules(&[crystal, data, new]),
            [
                "crate `druse-crystal` depends on `druse-data`, against the declared order",
                "crate `druse-new` has no place in the declared order of the crates",
            ]
        );
    }

    #[test]
    fn the_engine_is_found_around_corners() {
        let evaluate = member("druse-evaluate", "[dependencies]\ndruse-data = {}");
        let data = member("druse-data", "[dependencies]\nburn-flex = { version = \"1\", optional = true }");
        let found = rules(&[evaluate, data]);
        assert_eq!(found.len(), 2);
        assert!(found[0].ends_with("druse-evaluate → druse-data → burn-flex"), "{found:?}");
    }
}
