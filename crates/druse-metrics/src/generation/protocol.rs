//! Who counts, and how, in the evaluations of the field.

use druse_data::Benchmark;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ProtocolName;
use crate::{
    coverage::Cutoffs,
    validity::{CompositionRule, StructureRule},
};

/// Which of the generated crystals a metric is measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Population {
    /// Every generated crystal that has what the metric needs.
    All,
    /// Those that could be built and have a volume of at least 0.1 Å³.
    Built,
    /// The valid ones, or as many of them, drawn without replacement, as the protocol says.
    ValidSample,
}

impl std::fmt::Display for Population {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::All => "all generated",
            Self::Built => "all built",
            Self::ValidSample => "valid sample",
        })
    }
}

/// An evaluation protocol. The reference set is used whole in each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Protocol {
    /// Its name.
    pub name: String,
    /// Composition test; `None` when compositions are not judged.
    pub composition: Option<CompositionRule>,
    /// Structure test.
    pub structure: StructureRule,
    /// Whether a crystal whose fingerprint cannot be computed is invalid.
    pub fingerprint: bool,
    /// Number of valid crystals drawn without replacement; `None`, or fewer valid ones than that: all of them.
    pub sample: Option<usize>,
    /// Cut-offs of the coverage; `None` when it is not part of the protocol.
    pub cutoffs: Option<Cutoffs>,
    /// On what coverage is measured.
    pub coverage_on: Population,
    /// On what the density is compared.
    pub density_on: Population,
    /// On what the number of elements is compared.
    pub elements_on: Population,
    /// On what the Fréchet distance of the fingerprints is measured.
    pub frechet_on: Population,
}

impl Protocol {
    /// The protocol of a name, with the cut-offs for a benchmark.
    pub fn named(name: ProtocolName, benchmark: Benchmark) -> Self {
        match name {
            ProtocolName::Cdvae => Self::cdvae(benchmark),
            ProtocolName::Symat => Self::symat(benchmark),
            ProtocolName::Adaptive => Self::adaptive(),
            ProtocolName::Gemsdiff => Self::gemsdiff(),
            ProtocolName::Crystens => Self::crystens(benchmark),
            ProtocolName::Strict => Self::strict(benchmark),
        }
    }

    /// CDVAE (and with it DiffCSP, FlowMM, CrystaLLM): coverage over all generated crystals that have both fingerprints,
    /// with every generated one in the precision's denominator; diversity and distances over 1,000 valid ones.
    ///
    /// The original stops with an error when fewer than 1,000 are valid; here all of them are used, and the metrics
    /// say how many. The Fréchet distance is not part of the original.
    pub fn cdvae(benchmark: Benchmark) -> Self {
        Self {
            name: ProtocolName::Cdvae.to_string(),
            composition: Some(CompositionRule::Cdvae),
            structure: StructureRule::Cdvae,
            fingerprint: true,
            sample: Some(1000),
            cutoffs: Some(Cutoffs::cdvae(benchmark)),
            coverage_on: Population::All,
            density_on: Population::ValidSample,
            elements_on: Population::ValidSample,
            frechet_on: Population::ValidSample,
        }
    }

    /// SyMat: density over all buildable structures, number of elements over all generated; cut-offs looser than
    /// CDVAE's. Compositions are judged by CDVAE's rule; the SMACT 2.3.1 that SyMat pins gives Ir a state −3 in place
    /// of −2.
    pub fn symat(benchmark: Benchmark) -> Self {
        Self {
            name: ProtocolName::Symat.to_string(),
            structure: StructureRule::Symat,
            sample: None,
            cutoffs: Some(Cutoffs::symat(benchmark)),
            density_on: Population::Built,
            elements_on: Population::All,
            frechet_on: Population::Built,
            ..Self::cdvae(benchmark)
        }
    }

    /// diffusion-atoms (adaptive cells): compositions are not judged; everything, coverage too, over 986 valid crystals.
    pub fn adaptive() -> Self {
        Self {
            name: ProtocolName::Adaptive.to_string(),
            composition: None,
            sample: Some(986),
            cutoffs: Some(Cutoffs::adaptive()),
            coverage_on: Population::ValidSample,
            ..Self::cdvae(Benchmark::Mp20)
        }
    }

    /// GemsDiff: validity is the 0.5 Å rule alone, distances over all generated crystals. The Fréchet distance is on
    /// CrystalNN fingerprints here, on the latent features of ALIGNN in the paper.
    pub fn gemsdiff() -> Self {
        Self {
            name: ProtocolName::Gemsdiff.to_string(),
            composition: None,
            structure: StructureRule::Gemsdiff,
            fingerprint: false,
            sample: None,
            cutoffs: None,
            coverage_on: Population::All,
            density_on: Population::All,
            elements_on: Population::All,
            frechet_on: Population::All,
        }
    }

    /// CrysTens: Kolmogorov–Smirnov statistics of cells, space groups, elements and properties over all structures that
    /// could be built; compositions are not judged. The paper counts every structure whose CIF can be read; here the 0.5 Å
    /// rule says which are valid. Coverage, with CDVAE's cut-offs, is not part of the original.
    pub fn crystens(benchmark: Benchmark) -> Self {
        Self {
            name: ProtocolName::Crystens.to_string(),
            cutoffs: Some(Cutoffs::cdvae(benchmark)),
            density_on: Population::Built,
            elements_on: Population::Built,
            frechet_on: Population::Built,
            ..Self::gemsdiff()
        }
    }

    /// CDVAE's metrics by rules without its quirks, over all valid crystals instead of 1,000.
    pub fn strict(benchmark: Benchmark) -> Self {
        Self {
            name: ProtocolName::Strict.to_string(),
            composition: Some(CompositionRule::Strict),
            structure: StructureRule::Strict,
            sample: None,
            ..Self::cdvae(benchmark)
        }
    }
}
