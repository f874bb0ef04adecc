//! The CrystalNN fingerprint: probabilities of coordination numbers and how well their neighbors fit known motifs.
//!
//! N. E. R. Zimmermann, A. Jain, RSC Adv. 10, 6063 (2020); settings of matminer's `CrystalNNFingerprint` preset `ops`,
//! as CDVAE (T. Xie et al., ICLR 2022) and its successors evaluate generated crystals with.

mod motifs;
mod order;

use druse_crystal::{
    Structure,
    coordination::{CoordinationError, CrystalNn, SiteCoordination, Tessellation},
};

use motifs::{Kind, MAX_CN, motifs};
use order::Surroundings;

/// Number of entries.
pub const LEN: usize = 61;

/// Fingerprints of a crystal and of its sites. Entries are named by [`labels`].
#[derive(Debug, Clone, PartialEq)]
pub struct CrystalNnFingerprint {
    /// Mean over the sites.
    pub mean: [f64; LEN],
    /// One for each site, in the order of the structure.
    pub sites: Vec<[f64; LEN]>,
}

/// Why there is no fingerprint.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FingerprintError {
    /// The structure has no sites.
    #[error("structure has no atoms")]
    Empty,
    /// The coordination of a site cannot be told.
    #[error(transparent)]
    Coordination(#[from] CoordinationError),
}

/// Names of the entries: `wt CN_4`, `tetrahedral CN_4`, …
pub fn labels() -> Vec<String> {
    (1..=MAX_CN)
        .flat_map(|cn| {
            let names = std::iter::once("wt").chain(motifs(cn).iter().map(|m| m.0));
            names.map(move |name| format!("{name} CN_{cn}"))
        })
        .collect()
}

/// The fingerprint of a crystal and of each of its sites.
///
/// # Errors
/// [`FingerprintError`] when the coordination of a site cannot be told, as with atoms on the same spot.
pub fn fingerprint(s: &Structure) -> Result<CrystalNnFingerprint, FingerprintError> {
    let rule = CrystalNn::FINGERPRINT;
    let mut cells = Tessellation::new(s, rule.search_cutoff)?;
    let mut surroundings = Surroundings::new();
    let mut sites = Vec::with_capacity(s.len());
    let mut mean = [0.0; LEN];
    for i in 0..s.len() {
        let site = of_site(&rule.weigh(&mut cells, i)?, &mut surroundings);
        mean.iter_mut().zip(&site).for_each(|(m, x)| *m += x);
        sites.push(site);
    }
    if sites.is_empty() {
        return Err(FingerprintError::Empty);
    }
    mean.iter_mut().for_each(|m| *m /= sites.len() as f64);
    Ok(CrystalNnFingerprint { mean, sites })
}

/// The fingerprint of one site from its coordination: for each coordination number its probability, then that times
/// each of its order parameters.
pub fn site_fingerprint(coordination: &SiteCoordination) -> [f64; LEN] {
    of_site(coordination, &mut Surroundings::new())
}

fn of_site(coordination: &SiteCoordination, surroundings: &mut Surroundings) -> [f64; LEN] {
    let largest = |needs: fn(&Kind) -> bool| {
        let with =
            coordination.cn_weights.iter().map(|p| p.0).filter(|&cn| motifs(cn).iter().any(|m| needs(&m.1)));
        with.max().unwrap_or(0)
    };
    let with_angles = largest(|kind| !matches!(kind, Kind::SingleBond | Kind::Steinhardt(_)));
    let with_azimuths =
        largest(|kind| !matches!(kind, Kind::SingleBond | Kind::Steinhardt(_) | Kind::Bent { .. }));
    surroundings.set(&coordination.neighbors, with_angles, with_azimuths);

    let mut entries = [0.0; LEN];
    let mut weights = coordination.cn_weights.iter().filter(|p| p.0 > 0).peekable();
    let mut at = 0;
    for cn in 1..=MAX_CN {
        let weight = weights.next_if(|p| p.0 == cn).map_or(0.0, |p| p.1);
        let motifs = motifs(cn);
        if weight != 0.0 {
            entries[at] = weight;
            for (entry, (_, kind)) in entries[at + 1..].iter_mut().zip(motifs) {
                *entry = weight * surroundings.order_parameter(kind, cn);
            }
        }
        at += 1 + motifs.len();
    }
    entries
}
