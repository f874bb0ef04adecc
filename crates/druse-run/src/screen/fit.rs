//! Reference energies of elements from formation energies of compounds.

use std::collections::{BTreeMap, BTreeSet};

use druse_crystal::{Composition, Element};
use serde::Serialize;

/// Pivots below this share of the largest diagonal are rounding.
const RANK: f64 = 1e-10;
/// Combinations of undetermined elements with smaller coefficients are rounding.
const COUPLED: f64 = 1e-6;

/// Energies of elements that compounds tell.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ElementFit {
    /// Energy of each element (eV/atom), on the scale of the potential.
    pub energies: BTreeMap<Element, f64>,
    /// Elements whose energy the compounds do not determine.
    pub undetermined: Vec<Element>,
    /// Compounds that were fitted.
    pub compounds: usize,
    /// Root mean square of what the fit leaves (eV/atom): how far formation energies by the potential are from those given.
    pub rms: Option<f64>,
}

/// A compound: its composition, and its energy by the potential less its formation energy (eV/atom), which is the mean energy
/// of its elements.
pub(super) type Compound = (Composition, f64);

/// Least squares of Σ x μ = E − E_f over the compounds, x the fractions of the elements: energies μ of the elements that are not
/// among the `known` ones.
pub(super) fn fit(
    compounds: &[Compound],
    known: &BTreeMap<Element, f64>,
    wanted: &BTreeSet<Element>,
) -> ElementFit {
    let unknown: Vec<Element> = wanted.iter().copied().filter(|e| !known.contains_key(e)).collect();
    let place = |e: Element| unknown.iter().position(|u| *u == e);
    let n = unknown.len();
    let mut equations: Vec<(Vec<f64>, f64)> = Vec::new();
    for (composition, energy) in compounds {
        let (mut x, mut rest) = (vec![0.0; n], *energy);
        let atoms = composition.num_atoms() as f64;
        for (element, count) in composition.iter() {
            let share = f64::from(count) / atoms;
            match (place(element), known.get(&element)) {
                (Some(i), _) => x[i] = share,
                (None, Some(energy)) => rest -= share * energy,
                (None, None) => rest = f64::NAN,
            }
        }
        if rest.is_finite() && x.iter().any(|x| *x > 0.0) {
            equations.push((x, rest));
        }
    }
    let solution = solve(&equations, n);
    let determined = unknown.iter().zip(&solution).filter_map(|(e, mu)| Some((*e, (*mu)?)));
    let left = |(x, rest): &(Vec<f64>, f64)| {
        let used = x.iter().zip(&solution).filter(|(x, _)| **x > 0.0);
        let sum: Option<f64> = used.map(|(x, mu)| Some(x * (*mu)?)).sum();
        sum.map(|sum| sum - rest)
    };
    let left: Vec<f64> = equations.iter().filter_map(left).collect();
    let squares: f64 = left.iter().map(|x| x * x).sum();
    ElementFit {
        energies: determined.collect(),
        undetermined: unknown.iter().zip(&solution).filter(|(_, mu)| mu.is_none()).map(|(e, _)| *e).collect(),
        compounds: left.len(),
        rms: (!left.is_empty()).then(|| (squares / left.len() as f64).sqrt()),
    }
}

/// The least-squares solution of equations in `n` unknowns; `None` for an unknown that they do not determine.
fn solve(equations: &[(Vec<f64>, f64)], n: usize) -> Vec<Option<f64>> {
    // Normal equations, the right side as the last column.
    let mut m = vec![vec![0.0; n + 1]; n];
    for (x, rest) in equations {
        for i in 0..n {
            for j in 0..n {
                m[i][j] += x[i] * x[j];
            }
            m[i][n] += x[i] * rest;
        }
    }
    let largest = (0..n).map(|i| m[i][i]).fold(0.0, f64::max);
    // Gauss and Jordan with complete pivoting: row r has its pivot in column pivots[r].
    let mut pivots: Vec<usize> = Vec::new();
    for r in 0..n {
        let free = (0..n).filter(|c| !pivots.contains(c));
        let places = free.flat_map(|c| (r..n).map(move |i| (i, c)));
        let Some((row, column)) = places.max_by(|a, b| m[a.0][a.1].abs().total_cmp(&m[b.0][b.1].abs()))
        else {
            break;
        };
        if m[row][column].abs() <= RANK * largest {
            break;
        }
        m.swap(r, row);
        let pivot = m[r][column];
        m[r].iter_mut().for_each(|x| *x /= pivot);
        let line = m[r].clone();
        for (_, other) in m.iter_mut().enumerate().filter(|(i, _)| *i != r) {
            let factor = other[column];
            other.iter_mut().zip(&line).for_each(|(x, y)| *x -= factor * y);
        }
        pivots.push(column);
    }
    let free: Vec<usize> = (0..n).filter(|c| !pivots.contains(c)).collect();
    let mut solution = vec![None; n];
    for (row, &column) in m.iter().zip(&pivots) {
        if free.iter().all(|&c| row[c].abs() < COUPLED) {
            solution[column] = Some(row[n]);
        }
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(symbol: &str) -> Element {
        Element::from_symbol(symbol).unwrap()
    }

    fn fitted(rows: &[(&str, f64)], known: &[(&str, f64)], wanted: &[&str]) -> ElementFit {
        let compounds: Vec<Compound> =
            rows.iter().map(|(formula, e)| (Composition::parse(formula).unwrap(), *e)).collect();
        let known = known.iter().map(|(s, e)| (element(s), *e)).collect();
        fit(&compounds, &known, &wanted.iter().map(|s| element(s)).collect())
    }

    #[test]
    fn energies_of_elements_are_found_again() {
        let mu = [("Li", -1.9), ("Fe", -8.3), ("O", -4.9)];
        let mean = |formula: &str| {
            let c = Composition::parse(formula).unwrap();
            mu.iter().map(|(s, e)| f64::from(c.count(element(s))) * e).sum::<f64>() / c.num_atoms() as f64
        };
        let formulas = ["Li2O", "Fe2O3", "FeO", "LiFeO2", "Li5FeO4"];
        let rows: Vec<(&str, f64)> = formulas.iter().map(|f| (*f, mean(f))).collect();
        let found = fitted(&rows, &[], &["Li", "Fe", "O"]);
        for (symbol, energy) in mu {
            assert!((found.energies[&element(symbol)] - energy).abs() < 1e-9, "{found:?}");
        }
        assert!(found.rms.unwrap() < 1e-9 && found.compounds == 5 && found.undetermined.is_empty());
        // One of them known, and the others from fewer compounds.
        let found = fitted(&rows[..2], &[("O", -4.9)], &["Li", "Fe", "O"]);
        assert_eq!(found.energies.len(), 2);
        assert!((found.energies[&element("Fe")] + 8.3).abs() < 1e-9);
    }

    #[test]
    fn what_compounds_do_not_tell_is_not_guessed() {
        // The sum of Li and Cl, but neither of them; K from two compounds; Na from none.
        let rows = [("LiCl", -3.0), ("Li2Cl2", -3.1), ("KF", -4.0), ("KF2", -4.2)];
        let found = fitted(&rows, &[], &["Li", "Cl", "K", "F", "Na"]);
        assert_eq!(found.energies.keys().map(|e| e.symbol()).collect::<Vec<_>>(), ["F", "K"]);
        assert_eq!(found.undetermined.len(), 3);
        assert_eq!(found.compounds, 2);
        let none = fitted(&[], &[], &["Na"]);
        assert_eq!((none.undetermined.len(), none.rms), (1, None));
    }
}
