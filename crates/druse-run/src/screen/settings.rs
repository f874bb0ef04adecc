//! How candidates are screened, and what identifies a screening.

use druse_data::Listing;
use druse_metrics::novelty::Sameness;
use druse_metrics::validity::{CompositionRule, StructureRule};
use druse_relax::RelaxSettings;
use serde::{Deserialize, Serialize};

use crate::output::{RunIdentity, Shard};

/// What a folder of screened candidates holds: potential, settings, hashes of the sets.
pub const SCREEN_FILE: &str = "screen.json";
/// Column with the formation energies of the reference (eV/atom) that is read where none is named.
pub const FORMATION_ENERGY: &str = "formation_energy_per_atom";

/// The rule of validity: no two atoms closer than 0.5 Å, own images included, and a cell of at least 0.1 Å³.
pub(super) const STRUCTURE_RULE: StructureRule = StructureRule::Strict;
/// The rule of charge neutrality, with mixed valence.
pub(super) const COMPOSITION_RULE: CompositionRule = CompositionRule::Strict;

/// How candidates are screened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScreenSettings {
    /// How candidates are relaxed.
    pub relax: RelaxSettings,
    /// Where energies of the reference are from.
    pub references: References,
    /// How the reference and the elements are relaxed.
    pub relax_references: RelaxSettings,
    /// Corrections of the potential's energies.
    pub corrections: Corrections,
    /// Distance (Å) within which a symmetry is found and made exact before candidates are relaxed; `None` leaves them as they are.
    pub symmetrize: Option<f64>,
    /// Whether a composition that cannot be neutral falls; otherwise this is only told.
    pub charge_neutral: bool,
    /// Largest energy above hull (eV/atom) of what is marked as a good candidate.
    pub max_e_above_hull: f64,
    /// How many of the best are written as files.
    pub keep: usize,
    /// When two structures are the same.
    pub sameness: Sameness,
    /// Column of the reference with formation energies (eV/atom).
    pub formation_energy: String,
}

/// Where energies of the reference are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum References {
    /// The potential, after relaxation.
    #[default]
    Relaxed,
    /// The potential, for the structures as they are.
    AsTheyAre,
    /// A column of formation energies: another energy scale than the candidates'.
    Given,
}

impl References {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Relaxed, Self::AsTheyAre, Self::Given];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relaxed => "relaxed",
            Self::AsTheyAre => "as-they-are",
            Self::Given => "given",
        }
    }
}

/// Corrections of a potential's energies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Corrections {
    /// None.
    None,
    /// [`Mp2020`](druse_metrics::corrections::Mp2020).
    Mp2020,
}

impl Corrections {
    /// Those that a potential's energies need: MP2020 where it learned uncorrected energies of the Materials Project.
    pub fn of(potential: &str) -> Self {
        if potential.starts_with("SevenNet") { Self::Mp2020 } else { Self::None }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Mp2020 => "mp2020",
        }
    }
}

/// The identity of a screening, kept beside its output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScreenManifest {
    /// What the potential is.
    pub potential: String,
    /// How candidates are screened.
    pub settings: ScreenSettings,
    /// Hash of the candidates: structures and identifiers of the rows.
    pub candidates: String,
    /// Number of rows.
    pub count: u64,
    /// Hash of the source of the reference.
    pub reference: String,
    /// Hash of the source of the known structures; `None` where these are the reference.
    pub train: Option<String>,
    /// The share of the candidates that the folder holds.
    #[serde(default)]
    pub shard: Shard,
}

impl ScreenManifest {
    pub(super) fn new(
        potential: &str,
        settings: &ScreenSettings,
        candidates: &Listing,
        reference: &Listing,
        train: Option<&Listing>,
        shard: Shard,
    ) -> Self {
        let mut hash = blake3::Hasher::new();
        hash.update(candidates.structures_hash().as_bytes());
        for item in &candidates.items {
            hash.update(item.id.as_bytes()).update(b"\n");
        }
        Self {
            potential: potential.to_owned(),
            settings: settings.clone(),
            candidates: hash.finalize().to_hex().to_string(),
            count: candidates.len() as u64,
            reference: reference.source_hash.clone(),
            train: train.map(|train| train.source_hash.clone()),
            shard,
        }
    }
}

impl RunIdentity for ScreenManifest {
    const FILE: &'static str = SCREEN_FILE;
    const WHAT: &'static str = "screened candidates";
    // No structures are written here, only into the folders within.
    const SYMMETRIC: &'static str = "";

    fn count(&self) -> u64 {
        self.count
    }

    fn whole(self) -> Self {
        Self { shard: Shard::default(), ..self }
    }

    fn values(&self) -> Vec<(&'static str, String)> {
        let settings = serde_json::to_string(&self.settings).expect("settings are plain numbers and text");
        vec![
            ("potential", self.potential.clone()),
            ("settings", settings),
            ("the number of candidates", self.count.to_string()),
            ("the candidates' hash", self.candidates.clone()),
            ("the reference's hash", self.reference.clone()),
            ("the hash of the known structures", self.train.clone().unwrap_or_default()),
            ("shard", self.shard.to_string()),
        ]
    }
}
