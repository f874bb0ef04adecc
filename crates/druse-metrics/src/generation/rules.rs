//! Protocol and cut-offs as they were asked for, and what they come to for a reference set.

use std::str::FromStr;

use druse_data::Benchmark;

use super::{Protocol, ProtocolName};
use crate::coverage::Cutoffs;

/// Cut-offs of the coverage that were asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CutoffChoice {
    /// Those of the protocol for a benchmark.
    Benchmark(Benchmark),
    /// These.
    Values(Cutoffs),
}

/// A text that is no [`CutoffChoice`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}`: expected mp-20, carbon-24, perov-5, or two numbers such as 0.4,10")]
pub struct NoCutoffs(String);

impl FromStr for CutoffChoice {
    type Err = NoCutoffs;

    /// The name of a benchmark, or `STRUCTURE,COMPOSITION`.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        if let Ok(benchmark) = s.parse() {
            return Ok(Self::Benchmark(benchmark));
        }
        let number = |x: &str| x.trim().parse().ok().filter(|x: &f64| *x >= 0.0 && x.is_finite());
        let numbers: Option<Vec<f64>> = s.split(',').map(number).collect();
        match numbers.as_deref() {
            Some(&[structure, composition]) => Ok(Self::Values(Cutoffs { structure, composition })),
            _ => Err(NoCutoffs(s.to_owned())),
        }
    }
}

/// The rules that were asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rules {
    /// The protocol.
    pub protocol: ProtocolName,
    /// Cut-offs of the coverage; `None` for those of the benchmark that the reference is.
    pub cutoffs: Option<CutoffChoice>,
    /// Valid crystals to draw where the protocol draws, 0 for all; `None` for the protocol's number.
    pub samples: Option<usize>,
}

/// The rules for one reference set.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedRules {
    /// The protocol with its cut-offs.
    pub protocol: Protocol,
    /// The benchmark whose constants count.
    pub benchmark: Benchmark,
    /// Where the cut-offs come from, in words; `None` where there is nothing to say.
    pub remark: Option<String>,
}

impl Rules {
    /// Rules of a protocol, everything else as the reference tells.
    pub fn of(protocol: ProtocolName) -> Self {
        Self { protocol, ..Self::default() }
    }

    /// What the rules come to for a reference set of this name or path. A benchmark that the name tells has constants of
    /// its own; any other set is taken for one as diverse as MP-20.
    ///
    /// ```
    /// use druse_data::Benchmark;
    /// use druse_metrics::generation::Rules;
    ///
    /// let rules = Rules::default().resolve("data/perov_5/test.csv");
    /// assert_eq!(rules.benchmark, Benchmark::Perov5);
    /// assert_eq!(rules.protocol.cutoffs.unwrap().structure, 0.2);
    /// ```
    pub fn resolve(&self, reference: &str) -> ResolvedRules {
        let (benchmark, why) = match (self.cutoffs, Benchmark::named_in(reference)) {
            (Some(CutoffChoice::Benchmark(benchmark)), _) => (benchmark, "as asked for"),
            (_, Some(benchmark)) => (benchmark, "by the name of the reference"),
            (_, None) => {
                (Benchmark::default(), "the default, as the reference's name tells none; --cutoffs chooses")
            }
        };
        let mut protocol = Protocol::named(self.protocol, benchmark);
        let mut remark = None;
        if let Some(CutoffChoice::Values(cutoffs)) = self.cutoffs {
            protocol.cutoffs = Some(cutoffs);
        } else if protocol.cutoffs.is_some() && self.protocol != ProtocolName::Adaptive {
            remark = Some(format!("cut-offs of {benchmark}: {why}"));
        }
        if let Some(samples) = self.samples {
            protocol.sample = (samples > 0).then_some(samples);
        }
        ResolvedRules { protocol, benchmark, remark }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_goes_before_what_the_name_tells() {
        let rules = |cutoffs: &str| Rules { cutoffs: Some(cutoffs.parse().unwrap()), ..Rules::default() };
        let named = rules("carbon24").resolve("perov_5");
        assert_eq!((named.benchmark, named.protocol.cutoffs), {
            (Benchmark::Carbon24, Some(Cutoffs::cdvae(Benchmark::Carbon24)))
        });
        assert_eq!(named.remark.as_deref(), Some("cut-offs of carbon-24: as asked for"));
        let values = rules("0.3, 7").resolve("perov_5");
        assert_eq!(values.protocol.cutoffs, Some(Cutoffs { structure: 0.3, composition: 7.0 }));
        assert_eq!((values.benchmark, values.remark), (Benchmark::Perov5, None));
        let other = Rules { samples: Some(0), ..Rules::of(ProtocolName::Adaptive) }.resolve("mine");
        assert_eq!((other.benchmark, other.protocol.sample, other.remark), (Benchmark::Mp20, None, None));
        for wrong in ["mp", "1", "1,2,3", "-1,2", "inf,2"] {
            assert!(wrong.parse::<CutoffChoice>().unwrap_err().to_string().contains("0.4,10"), "{wrong}");
        }
    }

    #[test]
    fn protocols_have_their_names() {
        for name in ProtocolName::ALL {
            assert_eq!(name.to_string().parse(), Ok(name));
            assert_eq!(Protocol::named(name, Benchmark::Mp20).name, name.name());
        }
        assert!("cd".parse::<ProtocolName>().is_err());
    }
}
