//! The benchmarks of the field, by one set of names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A data set that generative models of crystals are compared on, as curated with CDVAE (T. Xie et al., ICLR 2022).
///
/// ```
/// use druse_data::Benchmark;
///
/// assert_eq!("perov_5".parse(), Ok(Benchmark::Perov5));
/// assert_eq!(Benchmark::named_in("data/perov_5/test.csv.gz"), Some(Benchmark::Perov5));
/// assert_eq!(Benchmark::Perov5.to_string(), "perov-5");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Benchmark {
    /// Materials Project, up to 20 atoms a cell; stands for sets of as diverse compounds.
    #[default]
    #[serde(rename = "mp-20")]
    Mp20,
    /// Carbon allotropes, 6 to 24 atoms a cell.
    #[serde(rename = "carbon-24")]
    Carbon24,
    /// ABX3 perovskites, 5 atoms a cell.
    #[serde(rename = "perov-5")]
    Perov5,
}

/// A name that is no [`Benchmark`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown benchmark `{0}`; known are mp-20, carbon-24 and perov-5")]
pub struct UnknownBenchmark(String);

impl Benchmark {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mp20, Self::Carbon24, Self::Perov5];

    /// Its name: `mp-20`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mp20 => "mp-20",
            Self::Carbon24 => "carbon-24",
            Self::Perov5 => "perov-5",
        }
    }

    /// The folder of its files, and its name in the published code: `mp_20`.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Mp20 => "mp_20",
            Self::Carbon24 => "carbon_24",
            Self::Perov5 => "perov_5",
        }
    }

    /// The column that its published property models learn (eV/atom).
    pub fn property(self) -> &'static str {
        match self {
            Self::Mp20 => "formation_energy_per_atom",
            Self::Carbon24 => "energy_per_atom",
            Self::Perov5 => "heat_ref",
        }
    }

    /// The benchmark that a path or the name of a set tells, however it is spelled: `data/MP-20/test.csv`.
    pub fn named_in(text: &str) -> Option<Self> {
        let text = plain(text);
        Self::ALL.into_iter().find(|b| text.contains(&plain(b.name())))
    }
}

/// Case, hyphens and underscores make no difference.
fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '-'], "")
}

impl fmt::Display for Benchmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Benchmark {
    type Err = UnknownBenchmark;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let known = |b: &Self| plain(b.name()) == plain(s);
        Self::ALL.into_iter().find(known).ok_or_else(|| UnknownBenchmark(s.to_owned()))
    }
}
