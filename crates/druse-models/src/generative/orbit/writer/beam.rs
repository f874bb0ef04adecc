//! The likeliest templates of a composition, by a search that keeps the best beginnings.

use std::collections::HashSet;

use druse_nn::Params;
use druse_nn::memory::to_host;

use super::draft::{Asked, Draft};
use super::network::{Options, Question, Read, Subject};
use super::places::{GROUPS, PLACES};
use super::{Ground, Writer, options};
use crate::ModelError;

/// Beginnings that are kept at each step.
const WIDTH: usize = 48;
/// Templates that are told.
const MOST: usize = 60;
/// Next places that are less likely by this factor (as a logarithm) are not followed.
const FAINT: f64 = -12.0;

/// Templates with the logarithms of their probabilities.
pub(in super::super) struct Written {
    /// The likeliest, in their order.
    pub best: Vec<(Draft, f64)>,
    /// Of those that were asked about, in the order given.
    pub others: Vec<f64>,
}

/// A beginning.
#[derive(Debug, Clone, PartialEq)]
struct Begun {
    likely: f64,
    draft: Draft,
}

/// The likeliest first; of equal ones that of the smallest numbers.
fn order(a: &Begun, b: &Begun) -> std::cmp::Ordering {
    b.likely.total_cmp(&a.likely).then_with(|| a.draft.cmp(&b.draft))
}

struct Search<'a> {
    writer: &'a Writer,
    params: &'a Params,
    ground: &'a Ground,
    subjects: [Subject<'a>; 1],
    read: Read,
}

impl Written {
    pub fn new(
        writer: &Writer,
        params: &Params,
        ground: &Ground,
        group: Option<u16>,
        others: &[Draft],
    ) -> Result<Self, ModelError> {
        params.scope(|| {
            let named = vec![1.0; ground.asked.elements.len()];
            let subjects = [Subject { asked: &ground.asked, votes: &ground.votes, named }];
            let read = writer.network.read(params, &subjects);
            let search = Search { writer, params, ground, subjects, read };
            let groups = search.groups(group)?;
            Ok(Self { best: search.best(&groups)?, others: search.of(&groups, others)? })
        })
    }
}

impl Search<'_> {
    fn asked(&self) -> &Asked {
        &self.ground.asked
    }

    /// Logarithms of the probabilities of the space groups, from 1 on.
    fn groups(&self, group: Option<u16>) -> Result<Vec<f64>, ModelError> {
        let possible = |_, g| self.ground.holds(g) && group.is_none_or(|only| only == g);
        let network = &self.writer.network;
        let told = network.groups(self.params, &self.read, &self.subjects, &possible, None);
        let told = to_host(told)?;
        let holds = (1..=GROUPS as u16).map(|g| possible(0, g));
        Ok(told
            .iter()
            .zip(holds)
            .map(|(&x, holds)| if holds { f64::from(x) } else { f64::NEG_INFINITY })
            .collect())
    }

    /// What may follow each beginning, with the logarithms of the probabilities.
    fn next(&self, begun: &[&Draft]) -> Result<Vec<Vec<(u16, f64)>>, ModelError> {
        let lists: Vec<Vec<usize>> =
            begun.iter().map(|d| options(self.asked(), d.group, &d.places)).collect();
        let questions: Vec<Question<'_>> =
            begun.iter().map(|d| Question { subject: 0, group: d.group, written: &d.places }).collect();
        let options = Options::new(&lists);
        let network = &self.writer.network;
        let told =
            to_host(network.sites(self.params, &self.read, &self.subjects, (&questions, &options), None))?;
        let line = |(places, told): (&[usize], &[f32])| {
            let there = places.iter().zip(told).filter(|(place, _)| **place < PLACES);
            there.map(|(&place, &x)| (place as u16, f64::from(x))).collect()
        };
        Ok(options.places.chunks(options.longest).zip(told.chunks(options.longest)).map(line).collect())
    }

    /// The likeliest templates.
    fn best(&self, groups: &[f64]) -> Result<Vec<(Draft, f64)>, ModelError> {
        let all = (1..=GROUPS as u16).zip(groups).filter(|(_, likely)| likely.is_finite());
        let mut live: Vec<Begun> = all
            .map(|(group, &likely)| Begun { likely, draft: Draft { group, places: Vec::new() } })
            .collect();
        let mut done: Vec<Begun> = Vec::new();
        loop {
            live.sort_by(order);
            live.truncate(WIDTH);
            done.sort_by(order);
            done.truncate(MOST);
            let worst = if done.len() == MOST { done[MOST - 1].likely } else { f64::NEG_INFINITY };
            live.retain(|begun| begun.likely > worst);
            if live.is_empty() {
                break;
            }
            let drafts: Vec<&Draft> = live.iter().map(|begun| &begun.draft).collect();
            let next = self.next(&drafts)?;
            let mut further = Vec::new();
            for (begun, next) in live.iter().zip(next) {
                for (place, likely) in next.into_iter().filter(|(_, likely)| *likely > FAINT) {
                    let mut draft = begun.draft.clone();
                    draft.places.push(place);
                    let is_done = self.asked().next(&draft.places).is_none();
                    let into = if is_done { &mut done } else { &mut further };
                    into.push(Begun { likely: begun.likely + likely, draft });
                }
            }
            live = further;
        }
        Ok(done.into_iter().map(|begun| (begun.draft, begun.likely)).collect())
    }

    /// The logarithms of the probabilities of templates.
    fn of(&self, groups: &[f64], drafts: &[Draft]) -> Result<Vec<f64>, ModelError> {
        // Every beginning once: templates of one group begin alike.
        let beginnings: HashSet<Draft> = drafts
            .iter()
            .flat_map(|d| {
                (0..d.places.len()).map(|k| Draft { group: d.group, places: d.places[..k].to_vec() })
            })
            .collect();
        let mut beginnings: Vec<Draft> = beginnings.into_iter().collect();
        beginnings.sort();
        let mut next = Vec::with_capacity(beginnings.len());
        for some in beginnings.chunks(4 * WIDTH) {
            next.extend(self.next(&some.iter().collect::<Vec<_>>())?);
        }
        let of = |draft: &Draft| {
            let group = groups[usize::from(draft.group) - 1];
            let steps = (0..draft.places.len()).map(|k| {
                let begun = Draft { group: draft.group, places: draft.places[..k].to_vec() };
                let options = beginnings.binary_search(&begun).ok().map(|i| &next[i]);
                let found = options.and_then(|o| o.iter().find(|(place, _)| *place == draft.places[k]));
                found.map_or(f64::NEG_INFINITY, |&(_, likely)| likely)
            });
            group + steps.sum::<f64>()
        };
        Ok(drafts.iter().map(of).collect())
    }
}
