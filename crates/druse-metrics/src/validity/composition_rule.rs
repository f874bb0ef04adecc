//! The rules by which compositions are judged.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The set of tables and conventions by which a composition is judged.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CompositionRule {
    /// CDVAE's test on the tables of SMACT 2.2.1, which it pins: the field's `comp_valid`.
    ///
    /// Its quirks are kept: the electronegativity of Zr is 0.33, Pm is no metal, O may be positive, and of a missing
    /// electronegativity the first pair of elements that involves it decides: ions of opposite sign pass the whole
    /// combination, others fail it.
    #[default]
    Cdvae,
    /// The same test on the `smact14` tables of SMACT 4.0.2.
    Smact14,
    /// The same test on the `icsd24` tables of SMACT 4.0.2, its default.
    Icsd24,
    /// The `icsd24` states with the gaps filled (`smact14` where it has none; electronegativities of Pm, Rn, Lr; Pm
    /// and Lr are metals), and metals may be mixed-valent: the atoms of a metal may divide between two
    /// neighboring positive states, as in Fe3O4. Every cation must be less electronegative than every anion,
    /// without exception. Of the ternary and binary compounds of MP-20's test set it passes 93.6 % (CDVAE's rule
    /// 89.6 %); what it refuses is mostly metallic or covalent (`PtP2`, `BaAs2Pd2`), where oxidation states mean little.
    #[serde(alias = "honest")]
    Strict,
}

impl CompositionRule {
    /// Every rule.
    pub const ALL: [Self; 4] = [Self::Cdvae, Self::Smact14, Self::Icsd24, Self::Strict];
}

impl fmt::Display for CompositionRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cdvae => "cdvae",
            Self::Smact14 => "smact14",
            Self::Icsd24 => "icsd24",
            Self::Strict => "strict",
        })
    }
}
