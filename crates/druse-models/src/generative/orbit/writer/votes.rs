//! What known crystals say of each site that is to be written.

use std::collections::HashMap;

use druse_data::substitution::Library;

use super::super::judge::Ballot;
use super::super::site_by_site::SiteBySite;
use super::draft::{Asked, Draft};

/// Ways to weigh known crystals.
pub(super) const WEIGHINGS: usize = 4;
/// Scales of the mean distance of the elements that take each other's places, for crystals with the same numbers of atoms.
const SCALES: [f64; WEIGHINGS - 1] = [0.1, 0.3, 1.0];
/// The same for exchanges site by site.
const SITE_SCALE: f64 = 0.3;

/// Shares of the weights that voters have, one for each way to weigh them.
pub(super) type Shares = [f32; WEIGHINGS];

/// Templates that known crystals become, with their shares of all weights.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Votes {
    all: Vec<(Draft, Shares)>,
}

fn added(into: &mut Shares, shares: &Shares) {
    into.iter_mut().zip(shares).for_each(|(a, b)| *a += b);
}

impl Votes {
    /// Of the crystals of a ballot and of exchanges site by site.
    pub fn new(library: &Library, asked: &Asked, ballot: Option<&Ballot>, further: &[SiteBySite]) -> Self {
        let mut weights: HashMap<Draft, [f64; WEIGHINGS]> = HashMap::new();
        for near in ballot.into_iter().flat_map(|ballot| &ballot.near) {
            let template = library.parents()[near.place].template();
            let element = |i: usize| {
                let old = template.sites()[i].0;
                near.exchange.iter().find(|(o, _)| *o == old).map_or(old, |&(_, new)| new)
            };
            let Some(draft) = asked.draft(template, element) else { continue };
            let distance = near.distance / near.exchange.len().max(1) as f64;
            let entry = weights.entry(draft).or_default();
            entry.iter_mut().zip(SCALES).for_each(|(w, scale)| *w += (-distance / scale).exp());
        }
        for found in further {
            let Some(draft) = asked.own(&found.template) else { continue };
            weights.entry(draft).or_default()[WEIGHINGS - 1] += (-found.distance / SITE_SCALE).exp();
        }
        let mut all: Vec<_> = weights.into_iter().collect();
        // Whatever the order of the map.
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let mut sums = [0.0; WEIGHINGS];
        all.iter().for_each(|(_, w)| sums.iter_mut().zip(w).for_each(|(sum, w)| *sum += w));
        let share = |w: [f64; WEIGHINGS]| -> Shares {
            std::array::from_fn(|k| if sums[k] > 0.0 { (w[k] / sums[k]) as f32 } else { 0.0 })
        };
        Self { all: all.into_iter().map(|(draft, w)| (draft, share(w))).collect() }
    }

    /// What each space group has.
    pub fn groups(&self) -> HashMap<u16, Shares> {
        let mut groups: HashMap<u16, Shares> = HashMap::new();
        self.all.iter().for_each(|(draft, shares)| added(groups.entry(draft.group).or_default(), shares));
        groups
    }

    /// What each place has for the site behind those that are written: shares among the templates that begin with them.
    pub fn behind(&self, group: u16, written: &[u16]) -> HashMap<u16, Shares> {
        let mut next: HashMap<u16, Shares> = HashMap::new();
        let mut sums = Shares::default();
        // Those of a group lie next to each other, and so do those that begin alike.
        let start = self.all.partition_point(|(d, _)| (d.group, &d.places[..]) < (group, written));
        for (draft, shares) in &self.all[start..] {
            if draft.group != group || !draft.places.starts_with(written) {
                break;
            }
            if let Some(&place) = draft.places.get(written.len()) {
                added(next.entry(place).or_default(), shares);
                added(&mut sums, shares);
            }
        }
        for shares in next.values_mut() {
            shares.iter_mut().zip(sums).for_each(|(s, sum)| *s /= sum.max(f32::MIN_POSITIVE));
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_those_that_begin_alike() {
        let draft = |group, places: &[u16]| Draft { group, places: places.to_vec() };
        let all = vec![
            (draft(1, &[3, 4]), [0.5, 0.2, 0.1, 0.0]),
            (draft(1, &[3, 5]), [0.2, 0.2, 0.1, 0.0]),
            (draft(1, &[4, 4]), [0.1, 0.2, 0.3, 0.0]),
            (draft(2, &[3, 4]), [0.2, 0.4, 0.5, 1.0]),
        ];
        let votes = Votes { all };
        let groups = votes.groups();
        assert!((groups[&1][0] - 0.8).abs() < 1e-6 && groups[&2][3] == 1.0);
        let first = votes.behind(1, &[]);
        assert!((first[&3][0] - 0.875).abs() < 1e-6 && (first[&4][1] - 1.0 / 3.0).abs() < 1e-6);
        let second = votes.behind(1, &[3]);
        assert!((second[&4][0] - 5.0 / 7.0).abs() < 1e-6 && second[&5][3] == 0.0);
        assert!(votes.behind(1, &[9]).is_empty() && votes.behind(3, &[]).is_empty());
        assert!(votes.behind(2, &[3, 4]).is_empty());
    }
}
