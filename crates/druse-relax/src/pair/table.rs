//! Pair potentials as tables of parameters.

use druse_crystal::Element;
use serde::{Deserialize, Serialize};

use super::{Buckingham, LennardJones, Morse, PairPotential};

/// A pair potential as a file states it: a name, a cutoff, and the parameters of each pair of elements.
///
/// ```
/// use druse_relax::pair::{LennardJones, PairRow, PairTable};
/// use druse_relax::Potential;
///
/// let argon = PairRow {
///     elements: ["Ar".into(), "Ar".into()],
///     lennard_jones: Some(LennardJones { epsilon: 0.0103, sigma: 3.4 }),
///     morse: None,
///     buckingham: None,
/// };
/// let table = PairTable { name: "argon".into(), cutoff: 12.0, pairs: vec![argon] };
/// assert_eq!(table.potential()?.cutoff(), 12.0);
/// # Ok::<(), druse_relax::pair::PairTableError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairTable {
    /// Name in messages and output.
    pub name: String,
    /// Distance (Å) at which energies and forces become zero.
    pub cutoff: f64,
    /// A row for each pair of elements.
    #[serde(rename = "pair")]
    pub pairs: Vec<PairRow>,
}

/// The energy of one pair of elements: exactly one of the forms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairRow {
    /// Symbols of the two elements, in any order.
    pub elements: [String; 2],
    /// Parameters, where it is of this form.
    #[serde(default, rename = "lennard-jones", skip_serializing_if = "Option::is_none")]
    pub lennard_jones: Option<LennardJones>,
    /// Parameters, where it is of this form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub morse: Option<Morse>,
    /// Parameters, where it is of this form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buckingham: Option<Buckingham>,
}

/// Why a table is no potential.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PairTableError {
    /// The cutoff is not positive.
    #[error("cutoff {0}: expected a positive number of Å")]
    Cutoff(f64),
    /// There is no pair.
    #[error("it has no [[pair]]")]
    Empty,
    /// A symbol is that of no element.
    #[error("pair {row}: `{symbol}` is no element")]
    Element {
        /// Number of the row, from 1.
        row: usize,
        /// The symbol.
        symbol: String,
    },
    /// A row has no form or several.
    #[error("pair {row} ({pair}) needs exactly one of lennard-jones, morse, buckingham")]
    Forms {
        /// Number of the row, from 1.
        row: usize,
        /// The two elements.
        pair: String,
    },
    /// A parameter is not a number that it can be.
    #[error("pair {row} ({pair}): {parameter} = {value} has to be {expected}")]
    Parameter {
        /// Number of the row, from 1.
        row: usize,
        /// The two elements.
        pair: String,
        /// Name of the parameter.
        parameter: &'static str,
        /// Its value.
        value: f64,
        /// What it has to be.
        expected: &'static str,
    },
    /// Two rows are of one pair.
    #[error("the pair {0} stands twice")]
    Twice(String),
    /// Two of the elements have no energy as a pair.
    #[error("the pair {0}-{1} is missing: each two of the elements need a row")]
    Missing(Element, Element),
}

impl PairTable {
    /// The potential.
    ///
    /// # Errors
    /// [`PairTableError`], with the row.
    pub fn potential(&self) -> Result<PairPotential, PairTableError> {
        if !(self.cutoff.is_finite() && self.cutoff > 0.0) {
            return Err(PairTableError::Cutoff(self.cutoff));
        }
        if self.pairs.is_empty() {
            return Err(PairTableError::Empty);
        }
        let mut potential = PairPotential::new(&self.name, self.cutoff);
        let mut seen = std::collections::BTreeSet::new();
        for (i, row) in self.pairs.iter().enumerate() {
            let at = i + 1;
            let [a, b] = [0, 1].map(|k| {
                let symbol = &row.elements[k];
                Element::from_symbol(symbol)
                    .map_err(|_| PairTableError::Element { row: at, symbol: symbol.clone() })
            });
            let (a, b) = (a?, b?);
            if !seen.insert((a.min(b), a.max(b))) {
                return Err(PairTableError::Twice(row.elements.join("-")));
            }
            let checks: &[(&'static str, f64, bool)] = match (row.lennard_jones, row.morse, row.buckingham) {
                (Some(f), None, None) => &[("epsilon", f.epsilon, false), ("sigma", f.sigma, true)],
                (None, Some(f), None) => {
                    &[("depth", f.depth, false), ("alpha", f.alpha, true), ("distance", f.distance, true)]
                }
                (None, None, Some(f)) => &[("a", f.a, false), ("rho", f.rho, true), ("c", f.c, false)],
                _ => return Err(PairTableError::Forms { row: at, pair: row.elements.join("-") }),
            };
            for &(parameter, value, positive) in checks {
                if !value.is_finite() || (positive && value <= 0.0) {
                    let expected = if positive { "a positive number" } else { "a number" };
                    let pair = row.elements.join("-");
                    return Err(PairTableError::Parameter { row: at, pair, parameter, value, expected });
                }
            }
            if let Some(form) = row.lennard_jones {
                potential = potential.with(a, b, form);
            } else if let Some(form) = row.morse {
                potential = potential.with(a, b, form);
            } else if let Some(form) = row.buckingham {
                potential = potential.with(a, b, form);
            }
        }
        match potential.missing_pair() {
            Some((a, b)) => Err(PairTableError::Missing(a, b)),
            None => Ok(potential),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(pairs: &str) -> PairTable {
        serde_json::from_str(&format!(r#"{{"name": "t", "cutoff": 6.0, "pair": {pairs}}}"#)).unwrap()
    }

    #[test]
    fn wrong_tables_say_what_is_wrong() {
        let lj = r#""lennard-jones": {"epsilon": 0.1, "sigma": 2.0}"#;
        let good = table(&format!(r#"[{{"elements": ["Na", "Na"], {lj}}}]"#));
        assert_eq!(good.potential().unwrap().elements().count(), 1);
        let says = |pairs: &str, words: &str| {
            let message = table(pairs).potential().map(|_| ()).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        };
        says("[]", "no [[pair]]");
        says(&format!(r#"[{{"elements": ["Na", "Xx"], {lj}}}]"#), "`Xx` is no element");
        says(r#"[{"elements": ["Na", "Cl"]}]"#, "exactly one of");
        says(&format!(r#"[{{"elements": ["Na", "Cl"], {lj}}}]"#), "the pair Na-Na is missing");
        says(
            &format!(r#"[{{"elements": ["Na", "Cl"], {lj}}}, {{"elements": ["Cl", "Na"], {lj}}}]"#),
            "stands twice",
        );
        says(
            r#"[{"elements": ["Na", "Na"], "morse": {"depth": 1, "alpha": -1, "distance": 2}}]"#,
            "alpha = -1",
        );
        let message = PairTable { cutoff: -1.0, ..good }.potential().map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("cutoff -1"), "{message}");
        assert!(
            serde_json::from_str::<PairTable>(r#"{"name": "t", "cutoff": 1, "pair": [], "x": 1}"#).is_err()
        );
    }
}
