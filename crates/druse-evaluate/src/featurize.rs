//! Features of single structures: one JSON object a structure, with a member for each feature.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::AtomicBool;

use druse_crystal::coordination::{CoordinatedAtom, CrystalNn};
use druse_crystal::reduction::lll_reduced;
use druse_crystal::symmetry::analyze;
use druse_crystal::{Composition, Structure, k_nearest, niggli, within_cutoff};
use druse_data::{Item, Listing};
use druse_metrics::fingerprint::{crystalnn, magpie};
use druse_metrics::validity::{self, CompositionRule, StructureRule};
use serde_json::{Map, Value, json};

use crate::parallel::in_chunks;
use crate::{EvaluateError, Observer};

/// Distance tolerances of the symmetry search (Å).
const SYMPRECS: [f64; 2] = [0.1, 0.01];
/// Radii within which neighbors are counted (Å).
const CUTOFFS: [u8; 3] = [4, 6, 8];
/// Site tolerance of the primitive cell (Å), as pymatgen's.
const PRIMITIVE_TOLERANCE: f64 = 0.25;

/// A group of features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// CrystalNN coordination and fingerprint.
    CrystalNn,
    /// Magpie features of the composition.
    Magpie,
    /// Composition and structure validity.
    Validity,
    /// Space group, Wyckoff positions, site symmetries.
    Symmetry,
    /// Reduced and primitive cells.
    Niggli,
    /// Numbers of neighbors and shortest distances.
    Neighbors,
}

impl Feature {
    /// All features, in the order in which they are computed.
    pub const ALL: [Self; 6] =
        [Self::CrystalNn, Self::Magpie, Self::Validity, Self::Symmetry, Self::Niggli, Self::Neighbors];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::CrystalNn => "crystalnn",
            Self::Magpie => "magpie",
            Self::Validity => "validity",
            Self::Symmetry => "symmetry",
            Self::Niggli => "niggli",
            Self::Neighbors => "neighbors",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no [`Feature`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown feature `{0}`; known are crystalnn, magpie, validity, symmetry, niggli and neighbors")]
pub struct UnknownFeature(String);

impl FromStr for Feature {
    type Err = UnknownFeature;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|f| f.name() == s).ok_or_else(|| UnknownFeature(s.to_owned()))
    }
}

/// Computes features of every row of a set, on all threads, in the order of its rows. Each object has
///
/// - `id`, the row's, and `composition`, its atoms by element (`null` where the row does not tell them);
/// - a member for each feature, under its [name](Feature::name): `magpie` is a list of numbers, the others are objects. A
///   feature that cannot be computed is `null`, and so is a member of one that can in part;
/// - `error`: `null`, or what could not be computed and why;
/// - `warnings`: what the reader of the structure had to interpret, repair or leave out; absent where there is nothing.
///
/// With `niggli` each cell is reduced first and rebuilt from its parameters ([`Structure::canonical`]).
///
/// # Errors
/// [`EvaluateError::Interrupted`].
pub fn featurize(
    listing: &Listing,
    features: &[Feature],
    niggli: bool,
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Vec<Value>, EvaluateError> {
    in_chunks(&listing.items, "structures", watch, stop, |item| Value::Object(row(item, features, niggli)))
}

fn row(item: &Item, features: &[Feature], reduce: bool) -> Map<String, Value> {
    let structure = match (&item.outcome, reduce) {
        (Ok(s), true) => s.canonical().map_err(|e| e.to_string()),
        (Ok(s), false) => Ok(s.clone()),
        (Err(absent), _) => Err(absent.reason.clone()),
    };
    let composition = item.composition();
    let mut fields = Map::new();
    fields.insert("id".into(), item.id.clone().into());
    fields.insert("composition".into(), composition.as_ref().map_or(Value::Null, counts));
    if !item.warnings.is_empty() {
        fields.insert("warnings".into(), json!(item.warnings));
    }
    let mut errors: Vec<String> =
        structure.as_ref().err().map(|e| format!("not constructed: {e}")).into_iter().collect();
    let structure = structure.ok();
    for &feature in features {
        let (value, error) = match (feature, &structure) {
            // A number that is not finite, which a table's gap makes, is `null` in JSON.
            (Feature::Magpie, _) => {
                (composition.as_ref().map_or(Value::Null, |c| json!(magpie::features(c).to_vec())), None)
            }
            (Feature::Validity, s) => (validity_of(composition.as_ref(), s.as_ref()), None),
            // The reason stands there already.
            (_, None) => (Value::Null, None),
            (Feature::CrystalNn, Some(s)) => whole(crystalnn_of(s)),
            (Feature::Symmetry, Some(s)) => symmetry_of(s),
            (Feature::Niggli, Some(s)) => niggli_of(s),
            (Feature::Neighbors, Some(s)) => whole(neighbors_of(s)),
        };
        fields.insert(feature.name().into(), value);
        errors.extend(error.map(|reason| format!("{feature}: {reason}")));
    }
    let error = if errors.is_empty() { Value::Null } else { errors.join("; ").into() };
    fields.insert("error".into(), error);
    fields
}

/// A feature, or `null` and the reason.
fn whole(outcome: Result<Value, String>) -> (Value, Option<String>) {
    outcome.map_or_else(|reason| (Value::Null, Some(reason)), |value| (value, None))
}

/// Atoms of each element.
fn counts(composition: &Composition) -> Value {
    composition.iter().map(|(e, n)| (e.symbol().to_owned(), n.into())).collect::<Map<_, _>>().into()
}

fn crystalnn_of(s: &Structure) -> Result<Value, String> {
    let fingerprint = crystalnn::fingerprint(s).map_err(|e| e.to_string())?;
    let sites = CrystalNn::FINGERPRINT.sites(s).map_err(|e| e.to_string())?;
    // The graph of CDVAE's encoder fails where no radius is asked for, too, only for other reasons than the above.
    let graph = CrystalNn::GRAPH.sites(s).map_err(|e| e.to_string())?;
    let image =
        |n: &CoordinatedAtom| [i64::from(n.site), n.image[0].into(), n.image[1].into(), n.image[2].into()];
    let sites: Vec<Value> = sites
        .iter()
        .zip(&graph)
        .map(|(site, graph)| {
            let weights: Map<String, Value> =
                site.cn_weights.iter().map(|(cn, w)| (cn.to_string(), json!(w))).collect();
            let nn: Vec<Value> = site
                .neighbors
                .iter()
                .map(|n| {
                    let [j, x, y, z] = image(n);
                    json!([j, x, y, z, n.weight])
                })
                .collect();
            json!({
                "cn": site.cn,
                "cn_weights": weights,
                "nn": nn,
                "n_voronoi": site.n_voronoi,
                "voronoi_solid_angle": site.solid_angle,
                "cn_graph": graph.cn,
                "nn_graph": graph.bonded().iter().map(image).collect::<Vec<_>>(),
            })
        })
        .collect();
    Ok(json!({
        "struct_fp": fingerprint.mean.to_vec(),
        "site_fps": fingerprint.sites.iter().map(|f| f.to_vec()).collect::<Vec<_>>(),
        "sites": sites,
    }))
}

fn validity_of(composition: Option<&Composition>, s: Option<&Structure>) -> Value {
    let valid = |rule| composition.is_some_and(|c| validity::composition(c, rule));
    let reduced: Option<Vec<(u8, u32)>> = composition.map(|composition| {
        let (reduced, _) = composition.reduced();
        let mut parts: Vec<(u8, u32)> = reduced.iter().map(|(e, n)| (e.z(), n)).collect();
        parts.sort_unstable();
        parts
    });
    let geometry = s.map(validity::structure);
    let struct_valid = |rule| geometry.is_some_and(|g| g.is_valid(rule));
    let fingerprint = s.map(|s| crystalnn::fingerprint(s).map(|_| ()).map_err(|e| e.to_string()));
    let ok = fingerprint.as_ref().is_some_and(Result::is_ok);
    json!({
        "elems": reduced.as_ref().map(|parts| parts.iter().map(|p| p.0).collect::<Vec<_>>()),
        "counts": reduced.as_ref().map(|parts| parts.iter().map(|p| p.1).collect::<Vec<_>>()),
        "constructed": geometry.is_some_and(|g| g.volume >= validity::MIN_VOLUME),
        "comp_valid": valid(CompositionRule::Cdvae),
        "comp_valid_smact402_smact14": valid(CompositionRule::Smact14),
        "comp_valid_smact402_icsd24": valid(CompositionRule::Icsd24),
        "comp_valid_strict": valid(CompositionRule::Strict),
        "struct_valid": struct_valid(StructureRule::Cdvae),
        "struct_valid_symat": struct_valid(StructureRule::Symat),
        "struct_valid_gemsdiff": struct_valid(StructureRule::Gemsdiff),
        "struct_valid_strict": struct_valid(StructureRule::Strict),
        "fingerprint_ok": ok,
        "fingerprint_error": fingerprint.and_then(Result::err),
        "valid": valid(CompositionRule::Cdvae) && struct_valid(StructureRule::Cdvae) && ok,
        "volume": geometry.map(|g| g.volume),
        "min_dist_distinct_sites": geometry.map(|g| g.min_distance),
        "min_dist": geometry.map(|g| g.min_distance_any()),
    })
}

fn symmetry_of(s: &Structure) -> (Value, Option<String>) {
    let (mut fields, mut first_error) = (Map::new(), None);
    for symprec in SYMPRECS {
        let value = match analyze(s, symprec) {
            Ok(d) => {
                let conventional = &d.conventional.structure;
                json!({
                    "number": d.number,
                    "hall_number": d.hall_number,
                    "international": d.international,
                    "hall": d.hall_symbol,
                    "pointgroup": d.point_group,
                    "pearson": d.pearson,
                    "wyckoffs": d.wyckoffs.iter().map(char::to_string).collect::<Vec<_>>(),
                    "site_symmetry": d.site_symmetry,
                    "equivalent_atoms": d.orbits,
                    "n_rotations": d.operations.len(),
                    "std_lattice_params": conventional.lattice.parameters(),
                    "std_volume": conventional.lattice.volume(),
                    "std_n_atoms": conventional.len(),
                    "n_primitive": d.primitive.structure.len(),
                    "symprec": d.symprec,
                })
            }
            Err(e) => {
                first_error.get_or_insert(format!("symprec {symprec}: {e}"));
                Value::Null
            }
        };
        fields.insert(format!("symprec_{symprec}"), value);
    }
    (fields.into(), first_error)
}

fn niggli_of(s: &Structure) -> (Value, Option<String>) {
    let known = [
        "niggli_params_exact",
        "niggli_matrix",
        "niggli_transform",
        "lll_params",
        "volume",
        "niggli_params",
        "n_sites_primitive",
        "primitive_niggli_params",
    ];
    let mut fields: Map<String, Value> = known.map(|key| (key.to_owned(), Value::Null)).into_iter().collect();
    let outcome = fill_niggli(s, &mut fields);
    (fields.into(), outcome.err())
}

/// Fills in what can be computed, up to the first failure.
fn fill_niggli(s: &Structure, fields: &mut Map<String, Value>) -> Result<(), String> {
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    let reduced = niggli(&s.lattice).map_err(|e| e.to_string())?;
    let lll = lll_reduced(&s.lattice).map_err(|e| e.to_string())?;
    put("niggli_params_exact", json!(reduced.lattice.parameters()));
    put("niggli_matrix", json!(reduced.lattice.rows()));
    put("niggli_transform", json!(reduced.transform));
    put("lll_params", json!(lll.parameters()));
    put("volume", json!(s.lattice.volume()));
    let as_pymatgen = s.niggli_reduced_as_pymatgen().map_err(|e| e.to_string())?;
    put("niggli_params", json!(as_pymatgen.lattice.parameters()));
    let primitive = s.primitive(PRIMITIVE_TOLERANCE).map_err(|e| e.to_string())?;
    let lattice = niggli(&primitive.lattice).map_err(|e| e.to_string())?.lattice;
    put("n_sites_primitive", json!(primitive.len()));
    put("primitive_niggli_params", json!(lattice.parameters()));
    Ok(())
}

fn neighbors_of(s: &Structure) -> Result<Value, String> {
    let within = |cutoff: u8| f64::from(cutoff) + 1e-8;
    let largest = within(CUTOFFS[CUTOFFS.len() - 1]);
    let list = within_cutoff(&s.lattice, &s.frac_coords, largest).map_err(|e| e.to_string())?;
    let counts: Map<String, Value> = CUTOFFS
        .iter()
        .map(|&cutoff| {
            let count = |i| list.of(i).iter().filter(|n| n.distance <= within(cutoff)).count();
            (cutoff.to_string(), (0..s.len()).map(count).collect::<Vec<_>>().into())
        })
        .collect();
    let nearest = k_nearest(&s.lattice, &s.frac_coords, 20).map_err(|e| e.to_string())?;
    let mut distances: Vec<f64> = nearest.of(0).iter().map(|n| n.distance).collect();
    distances.sort_unstable_by(f64::total_cmp);
    distances.truncate(20);
    Ok(json!({
        "counts": counts,
        "first_atom_20": distances,
        "min_dist": validity::structure(s).min_distance_any(),
    }))
}
