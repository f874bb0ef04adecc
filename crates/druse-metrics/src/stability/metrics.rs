//! Masks as metrics with their protocol.

use serde::{Deserialize, Serialize};

use super::{StabilityDefinition, StabilityMasks, Uniqueness};
use crate::distribution::Bootstrap;
use crate::metric::Metric;

/// Where the figures are from: what a protocol has to say besides the definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StabilitySources {
    /// The hull, in words.
    pub hull: String,
    /// Number of its entries.
    pub entries: usize,
    /// Where the energies of the structures are from: column and potential.
    pub energies: String,
    /// What novelty was tested against, in words, and the number of structures; `None` for no test.
    pub known: Option<(String, usize)>,
    /// Structures that were submitted: those of the set and those that never came to it.
    pub submitted: usize,
    /// Why nothing can be said of energies; `None` where it can.
    pub no_energies: Option<String>,
}

impl StabilityDefinition {
    /// `evaluated`, `valid`, `e_above_hull`, `stable`, `metastable`, `unique`, `novel`, `unique_novel`, `sun` and `msun`, as far as
    /// the definition has them. Each figure carries threshold and comparison, hull, energies, matcher and denominator.
    pub fn metrics(
        &self,
        masks: &StabilityMasks,
        above_hull: &[Option<f64>],
        from: &StabilitySources,
        bootstrap: Option<&Bootstrap>,
    ) -> Vec<Metric> {
        let figures = Figures { definition: self, masks, from, bootstrap };
        let mut all = vec![figures.fraction("evaluated", &masks.evaluated, None, figures.over(false))];
        if let Some((composition, structure)) = self.validity {
            let rule = format!(
                "valid by the rules {composition} (composition) and {structure} (structure); {}",
                figures.over(false)
            );
            all.push(figures.fraction("valid", &masks.valid, None, rule));
        }
        all.push(figures.mean_above_hull(above_hull));
        all.push(figures.of_energy(
            "stable",
            &masks.stable,
            format!("{}; {}", figures.stable(), figures.over(false)),
        ));
        if let Some(rule) = figures.metastable() {
            let protocol = format!("{rule}; {}", figures.over(false));
            all.push(figures.of_energy("metastable", &masks.metastable, protocol));
        }
        all.push(figures.structural("unique", Some(&masks.unique), figures.unique()));
        let both: Option<Vec<bool>> = masks
            .novel
            .as_ref()
            .map(|novel| novel.iter().zip(&masks.unique).map(|(a, b)| *a && *b).collect());
        let novel = figures.novel();
        all.push(figures.structural("novel", masks.novel.as_deref(), novel.clone()));
        let rule = format!("{}; {novel}", figures.unique());
        all.push(figures.structural("unique_novel", both.as_deref(), rule.clone()));
        let combined = |energy: String| format!("{energy}; {rule}; {}", figures.over(false));
        all.push(figures.combined("sun", masks.sun.as_deref(), combined(figures.stable())));
        if let Some(metastable) = figures.metastable() {
            all.push(figures.combined("msun", masks.msun.as_deref(), combined(metastable)));
        }
        all
    }
}

struct Figures<'a> {
    definition: &'a StabilityDefinition,
    masks: &'a StabilityMasks,
    from: &'a StabilitySources,
    bootstrap: Option<&'a Bootstrap>,
}

impl Figures<'_> {
    fn evaluated(&self) -> usize {
        self.masks.evaluated.iter().filter(|x| **x).count()
    }

    /// The denominator in words.
    fn over(&self, evaluated: bool) -> String {
        let (n, of) = (self.evaluated(), self.from.submitted);
        match evaluated {
            true => format!("over the {n} evaluated of {of} submitted"),
            false => format!("over all {of} submitted, {n} of them evaluated"),
        }
    }

    fn energy_rule(&self, rule: String) -> String {
        let valid = if self.definition.validity.is_some() { "valid, " } else { "" };
        format!("{valid}{rule}; {}; {}", self.from.hull, self.from.energies)
    }

    fn rounding(&self) -> String {
        match self.definition.rounding {
            0.0 => String::new(),
            x => format!(" (to {x:e})"),
        }
    }

    fn stable(&self) -> String {
        let limit = self.definition.stable;
        self.energy_rule(format!("energy above hull <= {limit} eV/atom{}", self.rounding()))
    }

    fn metastable(&self) -> Option<String> {
        let (low, high) = (self.definition.stable, self.definition.metastable?);
        let rule = format!("energy above hull > {low} and <= {high} eV/atom{}", self.rounding());
        Some(self.energy_rule(rule))
    }

    fn unique(&self) -> String {
        let d = self.definition;
        let which = match d.uniqueness {
            Uniqueness::FirstOfDuplicates => "the first of a set of duplicates is unique",
            Uniqueness::Components => "structures joined by matches are one",
        };
        let again = match &d.sameness.substitution {
            Some(rule) => format!(
                ", and again with elements of radii within {} and electronegativities within {} on each other's places",
                rule.radius, rule.electronegativity
            ),
            None => String::new(),
        };
        format!("{} structures; matcher {}{again}; {which}", d.tested, d.sameness.matcher)
    }

    fn novel(&self) -> String {
        match &self.from.known {
            Some((name, count)) => format!("no match among {count} structures of {name}"),
            None => "no set of known structures".to_owned(),
        }
    }

    /// The share of all submitted for which a mask holds. Those that never came to the set hold for nothing.
    fn fraction(&self, key: &str, mask: &[bool], against: Option<usize>, protocol: String) -> Metric {
        let missing = self.from.submitted.saturating_sub(mask.len());
        let flags = mask.iter().copied().chain(std::iter::repeat_n(false, missing));
        Metric::fraction(key, flags, against, self.bootstrap, protocol)
    }

    fn of_energy(&self, key: &str, mask: &[bool], protocol: String) -> Metric {
        match &self.from.no_energies {
            None => self.fraction(key, mask, Some(self.from.entries), protocol),
            Some(why) => {
                Metric::new(key, Err(why.clone()), self.from.submitted, Some(self.from.entries), protocol)
            }
        }
    }

    fn mean_above_hull(&self, above_hull: &[Option<f64>]) -> Metric {
        let values: Vec<f64> = above_hull
            .iter()
            .zip(&self.masks.evaluated)
            .filter(|(_, e)| **e)
            .filter_map(|(x, _)| *x)
            .collect();
        let protocol = format!("mean over those with an energy; {}; {}", self.from.hull, self.from.energies);
        match &self.from.no_energies {
            None => Metric::mean("e_above_hull", &values, Some(self.from.entries), self.bootstrap, protocol),
            Some(why) => {
                Metric::new("e_above_hull", Err(why.clone()), values.len(), Some(self.from.entries), protocol)
            }
        }
    }

    fn known(&self) -> Option<usize> {
        self.from.known.as_ref().map(|(_, count)| *count)
    }

    /// A figure of structures alone, over what the definition says.
    fn structural(&self, key: &str, mask: Option<&[bool]>, rule: String) -> Metric {
        let over_evaluated = self.definition.structures_over_evaluated;
        let protocol = format!("{rule}; {}", self.over(over_evaluated));
        let against = self.known().filter(|_| key != "unique");
        let Some(mask) = mask else { return self.unknown(key, protocol) };
        if over_evaluated {
            let flags = mask.iter().zip(&self.masks.evaluated).filter(|(_, e)| **e).map(|(x, _)| *x);
            Metric::fraction(key, flags, against, self.bootstrap, protocol)
        } else {
            self.fraction(key, mask, against, protocol)
        }
    }

    /// A figure of energies and structures.
    fn combined(&self, key: &str, mask: Option<&[bool]>, protocol: String) -> Metric {
        match (&self.from.no_energies, mask) {
            (None, Some(mask)) => self.fraction(key, mask, self.known(), protocol),
            (Some(why), _) => Metric::new(key, Err(why.clone()), self.from.submitted, self.known(), protocol),
            (None, None) => self.unknown(key, protocol),
        }
    }

    fn unknown(&self, key: &str, protocol: String) -> Metric {
        let why = "novelty needs a set of known structures".to_owned();
        Metric::new(key, Err(why), self.from.submitted, None, protocol)
    }
}
