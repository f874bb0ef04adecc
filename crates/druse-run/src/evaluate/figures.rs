//! Names of figures for people, and which way is better.

use druse_metrics::distribution::Bootstrap;
use druse_metrics::generation::Figure;

/// Which values of a figure are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Larger ones.
    Higher,
    /// Smaller ones.
    Lower,
    /// None: the figure describes.
    Neither,
}

const NAMES: [(&str, &str, Better); 33] = [
    ("comp_valid", "Composition validity", Better::Higher),
    ("struct_valid", "Structure validity", Better::Higher),
    ("valid", "Validity", Better::Higher),
    ("cov_recall", "COV-R", Better::Higher),
    ("cov_precision", "COV-P", Better::Higher),
    ("amsd_recall", "AMSD-R", Better::Lower),
    ("amsd_precision", "AMSD-P", Better::Lower),
    ("amcd_recall", "AMCD-R", Better::Lower),
    ("amcd_precision", "AMCD-P", Better::Lower),
    ("comp_div", "Composition diversity", Better::Neither),
    ("struct_div", "Structure diversity", Better::Neither),
    ("wdist_density", "EMD of density (g/cm³)", Better::Lower),
    ("wdist_num_elems", "EMD of number of elements", Better::Lower),
    ("frechet_crystalnn", "Fréchet distance (CrystalNN)", Better::Lower),
    ("ks_alpha", "KS of α", Better::Lower),
    ("ks_beta", "KS of β", Better::Lower),
    ("ks_gamma", "KS of γ", Better::Lower),
    ("ks_volume_per_atom", "KS of volume per atom", Better::Lower),
    ("ks_num_elems", "KS of number of elements", Better::Lower),
    ("ks_atomic_number", "KS of atomic number", Better::Lower),
    ("ks_space_group", "KS of space group", Better::Lower),
    ("share_p1", "Share of P1", Better::Neither),
    ("reference_share_p1", "Share of P1 in the reference", Better::Neither),
    ("unique", "Unique", Better::Higher),
    ("novel", "Novel", Better::Higher),
    ("unique_novel", "Unique and novel", Better::Higher),
    ("valid_unique_novel", "Valid, unique and novel", Better::Higher),
    ("match_rate", "Match rate", Better::Higher),
    ("rms_dist", "RMSE of the matched", Better::Lower),
    ("crmse", "cRMSE", Better::Lower),
    ("metre", "METRe", Better::Higher),
    ("metre_rms_dist", "RMSE of METRe", Better::Lower),
    ("metre_crmse", "cRMSE of METRe", Better::Lower),
];

/// The name of a figure in reports.
pub fn label(key: &str) -> String {
    if let Some((_, name, _)) = NAMES.iter().find(|(k, ..)| *k == key) {
        return (*name).to_owned();
    }
    if let Some((stem, k)) = key.rsplit_once("_k").filter(|(_, k)| k.bytes().all(|b| b.is_ascii_digit())) {
        return format!("{}, {k} candidate{}", label(stem), if k == "1" { "" } else { "s" });
    }
    if let Some(stem) = key.strip_suffix("_without_validity") {
        return format!("{}, validity not asked", label(stem));
    }
    for (prefix, name) in
        [("wdist_", "EMD of "), ("ks_niggli_", "KS of Niggli "), ("ks_", "KS of "), ("sr", "SR")]
    {
        if let Some(rest) = key.strip_prefix(prefix) {
            let rest = match rest {
                "alpha" => "α",
                "beta" => "β",
                "gamma" => "γ",
                other => other,
            };
            return format!("{name}{rest}");
        }
    }
    key.to_owned()
}

/// Which values of a figure are better.
pub fn better(key: &str) -> Better {
    if let Some((.., better)) = NAMES.iter().find(|(k, ..)| *k == key) {
        return *better;
    }
    if let Some(stem) = key.strip_suffix("_without_validity") {
        return better(stem);
    }
    if let Some((stem, _)) = key.rsplit_once("_k").filter(|(_, k)| k.bytes().all(|b| b.is_ascii_digit())) {
        return better(stem);
    }
    if key.starts_with("wdist_") || key.starts_with("ks_") {
        return Better::Lower;
    }
    if key.strip_prefix("sr").is_some_and(|k| k.bytes().all(|b| b.is_ascii_digit())) {
        return Better::Higher;
    }
    Better::Neither
}

/// A mean over `values` with its bootstrap interval, as a figure.
pub(super) fn mean(
    key: impl Into<String>,
    values: &[f64],
    against: Option<usize>,
    bootstrap: Option<&Bootstrap>,
    protocol: impl Into<String>,
) -> Figure {
    let value = values.iter().sum::<f64>() / values.len() as f64;
    let whole = value.is_finite();
    Figure {
        key: key.into(),
        value: whole.then_some(value),
        problem: (!whole).then(|| {
            if values.is_empty() { "nothing to average over" } else { "a value is not finite" }.into()
        }),
        of: values.len(),
        against,
        protocol: protocol.into(),
        interval: bootstrap.filter(|_| whole).and_then(|b| b.mean(values)),
    }
}

/// A share: `count` true flags among `of`.
pub(super) fn flags(all: impl IntoIterator<Item = bool>) -> Vec<f64> {
    all.into_iter().map(|x| f64::from(u8::from(x))).collect()
}
