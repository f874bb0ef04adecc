//! Magpie composition features (132) and their fixed normalization.
//!
//! 22 tabulated properties × 6 statistics over the atoms (Ward et al., npj Comput. Mater. 2, 16028, 2016), property by
//! property. Values and statistics are those of matminer's `magpie` preset without imputation.

use std::sync::OnceLock;

use druse_crystal::Composition;

/// Number of features.
pub const LEN: usize = PROPERTIES * STATISTICS.len();
/// Names of the statistics of one property, in order. `mean` and `avg_dev` are weighted by atomic fraction; `mode` is
/// the value of the most frequent element, of several equally frequent ones the smallest.
pub const STATISTICS: [&str; 6] = ["minimum", "maximum", "range", "mean", "avg_dev", "mode"];
const PROPERTIES: usize = 22;

/// Source of both: `data/README.md`.
const TABLE: &str = include_str!("../../data/magpie.csv");
const SCALER: &str = include_str!("../../data/magpie_scaler.csv");

/// Properties of every element by atomic number, from 1; NaN where there is none.
fn table() -> &'static [[f64; PROPERTIES]] {
    static PARSED: OnceLock<Vec<[f64; PROPERTIES]>> = OnceLock::new();
    PARSED.get_or_init(|| {
        TABLE
            .lines()
            .skip(1)
            .map(|line| {
                let mut fields = line.split(',').skip(2);
                std::array::from_fn(|_| fields.next().and_then(|f| f.parse().ok()).unwrap_or(f64::NAN))
            })
            .collect()
    })
}

/// Mean and standard deviation of every feature.
fn scaler() -> &'static [(f64, f64); LEN] {
    static PARSED: OnceLock<[(f64, f64); LEN]> = OnceLock::new();
    PARSED.get_or_init(|| {
        let mut rows = SCALER.lines().skip(1).map(|line| {
            let mut numbers = line.split(',').skip(2).map(|f| f.parse().unwrap_or(f64::NAN));
            (numbers.next().unwrap_or(f64::NAN), numbers.next().unwrap_or(f64::NAN))
        });
        std::array::from_fn(|_| rows.next().unwrap_or((f64::NAN, f64::NAN)))
    })
}

/// Names of the features: `MagpieData minimum Number` …, as matminer writes them.
pub fn labels() -> Vec<String> {
    let properties = TABLE.lines().next().unwrap_or_default().split(',').skip(2);
    properties
        .flat_map(|property| {
            STATISTICS.iter().map(move |statistic| format!("MagpieData {statistic} {property}"))
        })
        .collect()
}

/// The features of a composition, not normalized. A property that an element lacks makes the features that use it NaN;
/// so does an empty composition.
pub fn features(c: &Composition) -> [f64; LEN] {
    let mut features = [f64::NAN; LEN];
    let total: f64 = c.iter().map(|(_, n)| f64::from(n)).sum();
    let rows: Vec<(&[f64; PROPERTIES], f64)> = c
        .iter()
        .filter_map(|(e, n)| Some((table().get(usize::from(e.z()) - 1)?, f64::from(n) / total)))
        .collect();
    let largest = rows.iter().fold(0.0, |m: f64, r| m.max(r.1));
    // Fractions count as equal within numpy's `isclose`.
    let most_frequent = |fraction: f64| (fraction - largest).abs() <= 1e-8 + 1e-5 * largest;
    if rows.is_empty() {
        return features;
    }
    for (p, out) in features.chunks_exact_mut(STATISTICS.len()).enumerate() {
        let (mut low, mut high, mut sum, mut weight) = (f64::INFINITY, f64::NEG_INFINITY, 0.0, 0.0);
        let mut mode = f64::INFINITY;
        for (row, fraction) in &rows {
            let value = row[p];
            low = low.min(value);
            high = high.max(value);
            sum += fraction * value;
            weight += fraction;
            if most_frequent(*fraction) && !mode.is_nan() && (value < mode || value.is_nan()) {
                mode = value;
            }
        }
        let mean = sum / weight;
        let deviation =
            rows.iter().map(|(row, fraction)| fraction * (row[p] - mean).abs()).sum::<f64>() / weight;
        // The minimum and maximum above pass over NaN; the mean does not.
        let gap = if mean.is_nan() { f64::NAN } else { 0.0 };
        out.copy_from_slice(&[low + gap, high + gap, high - low + gap, mean, deviation, mode]);
    }
    features
}

/// Features normalized by CDVAE's fixed means and standard deviations; NaN becomes 0.
pub fn scaled(features: &[f64; LEN]) -> [f64; LEN] {
    std::array::from_fn(|i| {
        let (mean, std) = scaler()[i];
        let x = (features[i] - mean) / std;
        if x.is_nan() { 0.0 } else { x }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use druse_crystal::Element;
    use proptest::prelude::*;

    fn of(formula: &str) -> [f64; LEN] {
        features(&Composition::parse(formula).unwrap())
    }

    fn distance(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt()
    }

    #[test]
    fn haematite_and_rock_salt_have_known_features() {
        let (salt, rust) = (of("NaCl"), of("Fe4O6"));
        assert_eq!(salt[..12], [11.0, 17.0, 6.0, 14.0, 3.0, 11.0, 2.0, 94.0, 92.0, 48.0, 46.0, 2.0]);
        for (got, want) in rust.iter().zip([8.0, 26.0, 18.0, 15.2, 8.64, 8.0]) {
            assert!((got - want).abs() < 1e-12);
        }
        let (salt, rust) = (scaled(&salt), scaled(&rust));
        for (got, want) in rust.iter().zip([-0.806614, -1.594991, -0.926468, -1.268222, -0.591298, -0.963995])
        {
            assert!((got - want).abs() < 1e-6);
        }
        assert!((distance(&rust, &[0.0; LEN]) - 12.372885).abs() < 1e-6);
        assert!((distance(&salt, &[0.0; LEN]) - 12.709731).abs() < 1e-6);
        assert!((distance(&salt, &rust) - 16.258709).abs() < 1e-6);
    }

    #[test]
    fn missing_values_stay_missing() {
        let labels = labels();
        assert_eq!((labels.len(), labels[1].as_str()), (LEN, "MagpieData maximum Number"));
        let of_property = |f: &[f64; LEN], name: &str| {
            let at = labels.iter().position(|l| l.ends_with(name)).unwrap();
            f[at..at + 6].to_vec()
        };
        // Helium has no electronegativity, and is not the most frequent element.
        let x = of_property(&of("HeLi2"), "Electronegativity");
        assert!(x[..5].iter().all(|v| v.is_nan()));
        assert_eq!(x[5], 0.98);
        let x = of_property(&of("HeLi"), "Electronegativity");
        assert!(x.iter().all(|v| v.is_nan()), "{x:?}");
        let f = features(&Composition::default());
        assert!(f.iter().all(|v| v.is_nan()));
        assert_eq!(scaled(&f), [0.0; LEN]);
        assert!(of("Og").iter().all(|v| v.is_nan()));
    }

    #[test]
    fn equally_frequent_elements_give_the_smallest_value() {
        let f = of("Na333333Cl333334Br333333");
        assert_eq!(f[5], 11.0, "fractions within 1e-5 are equal");
        assert_eq!(of("Na1Cl2Br2")[5], 17.0);
    }

    proptest! {
        #[test]
        fn statistics_are_ordered_and_depend_on_ratios_alone(
            amounts in prop::collection::vec((1u8..=118, 1u32..20), 1..6), factor in 2u32..9,
        ) {
            let c = Composition::from_counts(amounts.iter().map(|&(z, n)| (Element::from_z(z).unwrap(), n)));
            let (once, times) = (features(&c), features(&c.multiplied(factor).unwrap()));
            for (f, g) in once.chunks_exact(6).zip(times.chunks_exact(6)) {
                for (x, y) in f.iter().zip(g) {
                    prop_assert!((x - y).abs() <= 1e-9 * x.abs().max(1.0) || x.is_nan() && y.is_nan());
                }
                if let [low, high, range, mean, deviation, mode] = *f && !mean.is_nan() {
                    let slack = 1e-9 * high.abs().max(1.0);
                    prop_assert!(low <= mode && mode <= high && range == high - low);
                    prop_assert!(low - slack <= mean && mean <= high + slack && deviation <= range + slack);
                }
            }
            prop_assert!(scaled(&once).iter().all(|x| x.is_finite()));
        }
    }
}
