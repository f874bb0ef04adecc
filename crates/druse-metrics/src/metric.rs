//! What a metric is: its value with the protocol it was measured under, and one table that describes them all.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::distribution::{Bootstrap, Interval};

/// A value with what it was measured on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// Short name, which [`describe`] explains: `cov_recall`, `wdist_density` …
    pub key: String,
    /// The value; `None` when it could not be computed.
    pub value: Option<f64>,
    /// Why there is no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Number of crystals the value is an average over, or the size of the generated sample of a distance.
    pub of: usize,
    /// Number of crystals of the other set that they were compared with; `None` for metrics of one set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<usize>,
    /// What was measured, on which crystals, with which tolerance.
    pub protocol: String,
    /// Bootstrap interval over the crystals that the value is an average over, or over both samples of a distance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}

impl Metric {
    /// A value, or the reason why there is none; a value that is not finite counts as none.
    pub fn new(
        key: impl Into<String>,
        value: Result<f64, String>,
        of: usize,
        against: Option<usize>,
        protocol: impl Into<String>,
    ) -> Self {
        let value = value.and_then(|x| if x.is_finite() { Ok(x) } else { Err("no crystals".into()) });
        Self {
            key: key.into(),
            value: value.as_ref().ok().copied(),
            problem: value.err(),
            of,
            against,
            protocol: protocol.into(),
            interval: None,
        }
    }

    /// The mean over `values` with its bootstrap interval.
    pub fn mean(
        key: impl Into<String>,
        values: &[f64],
        against: Option<usize>,
        bootstrap: Option<&Bootstrap>,
        protocol: impl Into<String>,
    ) -> Self {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let value = match mean.is_finite() {
            true => Ok(mean),
            false if values.is_empty() => Err("nothing to average over".into()),
            false => Err("a value is not finite".into()),
        };
        let metric = Self::new(key, value, values.len(), against, protocol);
        metric.with_interval(bootstrap.and_then(|b| b.mean(values)))
    }

    /// The fraction of `flags` that are set, with its bootstrap interval.
    pub fn fraction(
        key: impl Into<String>,
        flags: impl IntoIterator<Item = bool>,
        against: Option<usize>,
        bootstrap: Option<&Bootstrap>,
        protocol: impl Into<String>,
    ) -> Self {
        let values: Vec<f64> = flags.into_iter().map(|x| f64::from(u8::from(x))).collect();
        Self::mean(key, &values, against, bootstrap, protocol)
    }

    /// With an interval, where there is a value.
    pub fn with_interval(mut self, interval: Option<Interval>) -> Self {
        self.interval = interval.filter(|_| self.value.is_some());
        self
    }
}

/// Which values of a metric are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Larger ones.
    Higher,
    /// Smaller ones.
    Lower,
    /// Neither: the metric describes.
    Neither,
}

/// What a metric is computed of, besides the generated set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// A reference set.
    Reference,
    /// The training set.
    Training,
    /// Energies, and entries of a hull.
    Hull,
    /// Energies, entries of a hull and known structures.
    HullAndTraining,
    /// References that predictions are paired with.
    Pairs,
    /// A property of both sets.
    Property,
    /// A property of the generated set, snapshots of an optimization, and values to reach.
    Optimization,
}

/// What is to be known of a metric, apart from its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricInfo {
    /// Key in reports. Of a family of metrics it holds a name in braces: `wdist_{property}`.
    pub key: &'static str,
    /// Name for people, without the unit; of a family with the same name in braces.
    pub label: &'static str,
    /// Which values are better.
    pub direction: Direction,
    /// Its unit; `None` for a fraction or a number without one.
    pub unit: Option<&'static str>,
    /// Whether reports show it large.
    pub headline: bool,
    /// What it is computed of.
    pub needs: Needs,
    /// What it measures.
    pub about: &'static str,
}

impl MetricInfo {
    /// Name with the unit.
    pub fn title(&self) -> String {
        self.unit.map_or_else(|| self.label.to_owned(), |unit| format!("{} ({unit})", self.label))
    }

    const fn headline(self) -> Self {
        Self { headline: true, ..self }
    }

    const fn unit(self, unit: &'static str) -> Self {
        Self { unit: Some(unit), ..self }
    }
}

const fn info(
    key: &'static str,
    label: &'static str,
    direction: Direction,
    needs: Needs,
    about: &'static str,
) -> MetricInfo {
    MetricInfo { key, label, direction, unit: None, headline: false, needs, about }
}

use Direction::{Higher, Lower, Neither};
use Needs::{Hull, HullAndTraining, Nothing, Optimization, Pairs, Property, Reference, Training};

/// Every metric, in the order of reports.
///
/// A metric of pairs comes, besides, with the suffixes `_k{n}` (the best of the first n candidates) and
/// `_without_validity` (invalid predictions may match, too), and with the prefix [`BASELINE_PREFIX`] for what substitution
/// from the training set reaches on the same references.
pub const METRICS: &[MetricInfo] = &[
    info("comp_valid", "Composition validity", Higher, Nothing, "crystals with a valid composition"),
    info("struct_valid", "Structure validity", Higher, Nothing, "crystals with a valid structure"),
    info("valid", "Validity", Higher, Nothing, "crystals that are valid in every respect").headline(),
    info(
        "cov_recall",
        "COV-R",
        Higher,
        Reference,
        "reference crystals with a generated one within the cut-offs",
    )
    .headline(),
    info(
        "cov_precision",
        "COV-P",
        Higher,
        Reference,
        "generated crystals with a reference one within the cut-offs",
    )
    .headline(),
    info(
        "amsd_recall",
        "AMSD-R",
        Lower,
        Reference,
        "mean distance of a reference fingerprint to the nearest generated one",
    ),
    info(
        "amsd_precision",
        "AMSD-P",
        Lower,
        Reference,
        "mean distance of a generated fingerprint to the nearest reference one",
    ),
    info(
        "amcd_recall",
        "AMCD-R",
        Lower,
        Reference,
        "mean distance of a reference composition to the nearest generated one",
    ),
    info(
        "amcd_precision",
        "AMCD-P",
        Lower,
        Reference,
        "mean distance of a generated composition to the nearest reference one",
    ),
    info("comp_div", "Composition diversity", Neither, Nothing, "mean distance of pairs of compositions"),
    info("struct_div", "Structure diversity", Neither, Nothing, "mean distance of pairs of fingerprints"),
    info("wdist_density", "EMD of density", Lower, Reference, "Wasserstein-1 distance of densities")
        .unit("g/cm³")
        .headline(),
    info(
        "wdist_num_elems",
        "EMD of number of elements",
        Lower,
        Reference,
        "Wasserstein-1 distance of numbers of elements",
    )
    .headline(),
    info(
        "frechet_crystalnn",
        "Fréchet distance (CrystalNN)",
        Lower,
        Reference,
        "Fréchet distance of Gaussians fitted to the fingerprints",
    ),
    info(
        "frechet_{model}",
        "Fréchet distance ({model})",
        Lower,
        Reference,
        "the same of the vectors that a network predicts a property from; of one set of weights",
    ),
    info("ks_a", "KS of a", Lower, Reference, "Kolmogorov–Smirnov statistic of a of the cells as given"),
    info("ks_b", "KS of b", Lower, Reference, "the same of b"),
    info("ks_c", "KS of c", Lower, Reference, "the same of c"),
    info("ks_alpha", "KS of α", Lower, Reference, "the same of α"),
    info("ks_beta", "KS of β", Lower, Reference, "the same of β"),
    info("ks_gamma", "KS of γ", Lower, Reference, "the same of γ"),
    info(
        "ks_niggli_a",
        "KS of Niggli a",
        Lower,
        Reference,
        "Kolmogorov–Smirnov statistic of a of the Niggli cells",
    ),
    info("ks_niggli_b", "KS of Niggli b", Lower, Reference, "the same of b"),
    info("ks_niggli_c", "KS of Niggli c", Lower, Reference, "the same of c"),
    info("ks_niggli_alpha", "KS of Niggli α", Lower, Reference, "the same of α"),
    info("ks_niggli_beta", "KS of Niggli β", Lower, Reference, "the same of β"),
    info("ks_niggli_gamma", "KS of Niggli γ", Lower, Reference, "the same of γ"),
    info(
        "ks_volume_per_atom",
        "KS of volume per atom",
        Lower,
        Reference,
        "Kolmogorov–Smirnov statistic of volumes per atom",
    ),
    info("ks_density", "KS of density", Lower, Reference, "Kolmogorov–Smirnov statistic of densities"),
    info(
        "ks_num_elems",
        "KS of number of elements",
        Lower,
        Reference,
        "Kolmogorov–Smirnov statistic of numbers of elements",
    ),
    info(
        "ks_atomic_number",
        "KS of atomic number",
        Lower,
        Reference,
        "Kolmogorov–Smirnov statistic of atomic numbers, one value an atom",
    ),
    info(
        "ks_space_group",
        "KS of space group",
        Lower,
        Reference,
        "Kolmogorov–Smirnov statistic of space-group numbers",
    ),
    info("share_p1", "Share of P1", Neither, Nothing, "crystals of space group P1, where a group was found"),
    info(
        "reference_share_p1",
        "Share of P1 in the reference",
        Neither,
        Reference,
        "the same of the reference",
    ),
    info(
        "wdist_{property}",
        "EMD of {property}",
        Lower,
        Property,
        "Wasserstein-1 distance of a property of valid crystals, in its unit",
    ),
    info(
        "ks_{property}",
        "KS of {property}",
        Lower,
        Property,
        "Kolmogorov–Smirnov statistic of a property of valid crystals",
    ),
    info(
        "sr{percent}",
        "SR{percent}",
        Higher,
        Optimization,
        "starts whose best valid property reaches that percentile of the reference",
    ),
    info(
        "ks_image_space_group",
        "KS of the stated space group",
        Lower,
        Reference,
        "Kolmogorov–Smirnov statistic of space-group numbers that CrysTens images state, against those of the reference",
    ),
    info(
        "image_length_variance",
        "Length variance of images",
        Lower,
        Nothing,
        "variance of the entries of a CrysTens image that state a, b or c",
    )
    .unit("Å²"),
    info(
        "image_angle_variance",
        "Angle variance of images",
        Lower,
        Nothing,
        "the same of alpha, beta and gamma",
    )
    .unit("deg²"),
    info(
        "image_space_group_variance",
        "Space-group variance of images",
        Lower,
        Nothing,
        "the same of the space-group number",
    ),
    info(
        "image_coordinate_variance",
        "Coordinate variance of images",
        Lower,
        Nothing,
        "the same of a fractional coordinate of an atom",
    ),
    info(
        "image_coordinate_difference",
        "Coordinate difference of images",
        Lower,
        Nothing,
        "how far the coordinates of an atom are from those that all atoms agree on, over the number of atoms",
    ),
    info(
        "image_pairwise_difference",
        "Pairwise difference of images",
        Lower,
        Nothing,
        "how far stated distances are from those of the agreed coordinates, per atom",
    ),
    info("unique", "Unique", Higher, Nothing, "different structures over all generated ones").headline(),
    info("novel", "Novel", Higher, Training, "structures that match none of the training set"),
    info(
        "unique_novel",
        "Unique and novel",
        Higher,
        Training,
        "different structures of which none is in the training set, over all generated ones",
    ),
    info(
        "valid_unique_novel",
        "Valid, unique and novel",
        Higher,
        Training,
        "those of them with a valid member",
    ),
    info(
        "evaluated",
        "Evaluated",
        Higher,
        Hull,
        "structures that the definition of stability looks at, over all submitted",
    ),
    info("e_above_hull", "Energy above hull", Lower, Hull, "mean energy above the hull of the reference")
        .unit("eV/atom"),
    info(
        "stable",
        "Stable",
        Higher,
        Hull,
        "structures not farther above the hull than the definition's threshold",
    )
    .headline(),
    info("metastable", "Metastable", Higher, Hull, "structures above that threshold, up to a second one"),
    info("sun", "S.U.N.", Higher, HullAndTraining, "stable, unique and novel structures over all submitted")
        .headline(),
    info(
        "msun",
        "M.S.U.N.",
        Higher,
        HullAndTraining,
        "metastable, unique and novel structures over all submitted",
    ),
    info("match_rate", "Match rate", Higher, Pairs, "references that a prediction of their own matches")
        .headline(),
    info(
        "rms_dist",
        "RMSE of the matched",
        Lower,
        Pairs,
        "mean normalized RMS distance of the closest prediction, over the matched references",
    )
    .headline(),
    info(
        "crmse",
        "cRMSE",
        Lower,
        Pairs,
        "the same over all references; one without a match counts the largest distance of a match",
    ),
    info(
        "template_match",
        "Template match",
        Higher,
        Pairs,
        "references whose space group and Wyckoff sites a prediction of their own has",
    ),
    info("metre", "METRe", Higher, Pairs, "references that any prediction of the whole set matches")
        .headline(),
    info("metre_rms_dist", "RMSE of METRe", Lower, Pairs, "`rms_dist` of those matches"),
    info("metre_crmse", "cRMSE of METRe", Lower, Pairs, "`crmse` of those matches"),
];

/// Beginning of the keys of metrics that a baseline, substitution, reaches on the same references.
pub const BASELINE_PREFIX: &str = "substitute_";

/// The metric of pairs that a baseline's key stands for, with its suffixes.
fn of_baseline(key: &str) -> Option<&str> {
    let stem = key.strip_prefix(BASELINE_PREFIX)?;
    (without_suffix(stem).is_some() || METRICS.iter().any(|m| m.key == stem && m.needs == Pairs))
        .then_some(stem)
}

/// Looks a key up: the metric of the table, and what stands in place of the braces of a family.
fn find(key: &str) -> Option<(&'static MetricInfo, &str)> {
    let exact = METRICS.iter().find(|m| m.key == key).map(|m| (m, ""));
    exact.or_else(|| {
        METRICS.iter().find_map(|m| {
            let (prefix, name) = m.key.split_once('{')?;
            let rest = key.strip_prefix(prefix).filter(|rest| !rest.is_empty())?;
            (name != "percent}" || is_number(rest)).then_some((m, rest))
        })
    })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// The metric of pairs without its suffix, and the suffix in words.
fn without_suffix(key: &str) -> Option<(&'static MetricInfo, String)> {
    let of_pairs = |stem: &str| METRICS.iter().find(|m| m.key == stem && m.needs == Pairs);
    let (key, unasked) = match key.strip_suffix("_without_validity") {
        Some(stem) => (stem, Some("validity not asked".to_owned())),
        None => (key, None),
    };
    let (stem, candidates) = match key.rsplit_once("_k").filter(|(_, k)| is_number(k)) {
        Some((stem, k)) => (stem, Some(format!("{k} candidate{}", if k == "1" { "" } else { "s" }))),
        None => (key, None),
    };
    let suffixes: Vec<String> = candidates.into_iter().chain(unasked).collect();
    if suffixes.is_empty() { None } else { Some((of_pairs(stem)?, suffixes.join(", "))) }
}

/// What is to be known of a metric; `None` for a key that is none.
///
/// ```
/// use druse_metrics::{Direction, describe};
///
/// assert_eq!(describe("cov_recall").unwrap().label, "COV-R");
/// assert_eq!(describe("wdist_band_gap").unwrap().direction, Direction::Lower);
/// assert_eq!(describe("match_rate_k20").unwrap().key, "match_rate");
/// assert!(describe("color").is_none());
/// ```
pub fn describe(key: &str) -> Option<&'static MetricInfo> {
    let key = of_baseline(key).unwrap_or(key);
    without_suffix(key).map(|(m, _)| m).or_else(|| find(key).map(|(m, _)| m))
}

/// The name of a metric in reports, with its unit; the key where it is no metric.
pub fn label(key: &str) -> String {
    if let Some(stem) = of_baseline(key) {
        return format!("Baseline, substitution: {}", label(stem));
    }
    if let Some((metric, suffix)) = without_suffix(key) {
        return format!("{}, {suffix}", metric.title());
    }
    let Some((metric, name)) = find(key) else { return key.to_owned() };
    match (metric.label.find('{'), metric.label.find('}')) {
        (Some(from), Some(to)) => format!("{}{name}{}", &metric.label[..from], &metric.label[to + 1..]),
        _ => metric.title(),
    }
}

/// Which values of a metric are better; [`Direction::Neither`] for a key that is none.
pub fn direction(key: &str) -> Direction {
    describe(key).map_or(Neither, |m| m.direction)
}

/// [`METRICS`] as a table in Markdown, for the documentation.
pub fn markdown_table() -> String {
    let mut text =
        "| key | name | better | of | what it measures |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for m in METRICS {
        let better = match m.direction {
            Higher => "higher",
            Lower => "lower",
            Neither => "–",
        };
        let needs = match m.needs {
            Nothing => "generated set",
            Reference => "both sets",
            Training => "generated and training set",
            Hull => "structures with energies and entries of a hull",
            HullAndTraining => "the same and training set",
            Pairs => "predictions and references",
            Property => "a property of both sets",
            Optimization => "a property of snapshots",
        };
        text.push_str(&format!("| `{}` | {} | {better} | {needs} | {} |\n", m.key, m.title(), m.about));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_described_once() {
        for (i, m) in METRICS.iter().enumerate() {
            assert!(METRICS[..i].iter().all(|other| other.key != m.key), "{}", m.key);
            assert!(!m.label.is_empty() && !m.about.is_empty());
        }
    }

    #[test]
    fn families_and_suffixes_have_names() {
        for (key, name, better) in [
            ("wdist_density", "EMD of density (g/cm³)", Lower),
            ("wdist_gap", "EMD of gap", Lower),
            ("frechet_cgcnn", "Fréchet distance (cgcnn)", Lower),
            ("frechet_crystalnn", "Fréchet distance (CrystalNN)", Lower),
            ("ks_niggli_alpha", "KS of Niggli α", Lower),
            ("ks_gap_k3", "KS of gap_k3", Lower),
            ("sr5", "SR5", Higher),
            ("sr_x", "sr_x", Neither),
            ("match_rate_k1", "Match rate, 1 candidate", Higher),
            ("rms_dist_k20", "RMSE of the matched, 20 candidates", Lower),
            ("match_rate_k5_without_validity", "Match rate, 5 candidates, validity not asked", Higher),
            ("template_match_k1", "Template match, 1 candidate", Higher),
            ("crmse_without_validity", "cRMSE, validity not asked", Lower),
            ("share_p1", "Share of P1", Neither),
            ("substitute_match_rate", "Baseline, substitution: Match rate", Higher),
            ("substitute_rms_dist_k5", "Baseline, substitution: RMSE of the matched, 5 candidates", Lower),
            ("substitute_unique", "substitute_unique", Neither),
            ("color", "color", Neither),
        ] {
            assert_eq!((label(key).as_str(), direction(key)), (name, better), "{key}");
        }
    }

    #[test]
    fn means_say_why_they_have_no_value() {
        let m = Metric::mean("x", &[1.0, 2.0], None, None, "");
        assert_eq!((m.value, m.of, m.problem), (Some(1.5), 2, None));
        let m = Metric::mean("x", &[], None, Some(&Bootstrap::default()), "");
        assert_eq!(
            (m.value, m.problem.as_deref(), m.interval),
            (None, Some("nothing to average over"), None)
        );
        assert!(Metric::mean("x", &[f64::NAN], None, None, "").problem.is_some());
        assert_eq!(Metric::fraction("x", [true, false], None, None, "").value, Some(0.5));
    }
}
