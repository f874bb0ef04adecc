//! The objective of the judge, and its judgement.

use burn::tensor::{Tensor, activation};
use druse_crystal::Structure;
use druse_nn::Params;
use druse_nn::graph::Index;
use druse_nn::memory::to_host;
use druse_nn::ops::{self, matrix};

use super::cell;
use super::model::{Orbit, unusable};
use super::pairs::Pairs;
use super::proposal::{Proposal, Ticket};
use super::tokens::{FACTS, Place, Tokens};
use crate::process::Noise;
use crate::{LossTerm, ModelError, NoiseKey, Prepared};

/// The score of what is not there.
const NOTHING: f32 = -1e9;

/// A proposal where it would begin: what its sites see of each other.
struct Laid<'p> {
    proposal: &'p Proposal,
    cell: [f64; cell::COORDINATES],
    pairs: Pairs,
}

fn laid<'p>(model: &Orbit, proposal: &'p Proposal) -> Option<Laid<'p>> {
    let frame = &proposal.frame;
    let lattice = cell::cell(frame.group.lattice_system(), proposal.cell).ok()?;
    let pairs = model.judge_radial.pairs(frame.group, &lattice, &frame.positions, &proposal.frac)?;
    Some(Laid { proposal, cell: model.normalized(frame, proposal.cell), pairs })
}

fn tokens(model: &Orbit, laid: &[Laid<'_>]) -> Tokens {
    let places: Vec<Place<'_>> = laid
        .iter()
        .map(|l| {
            let p = l.proposal;
            Place {
                frame: &p.frame,
                origin: Some(&p.origin),
                cell: l.cell,
                frac: &p.frac,
                time: 1.0,
                pairs: &l.pairs,
            }
        })
        .collect();
    Tokens::new(&places, &model.config.judge.network)
}

/// Proposals for each structure of a micro-batch, its own template among them where the training set has it.
pub(super) struct PreparedProposals<'a> {
    model: &'a Orbit,
    tokens: Option<Tokens>,
    structures: usize,
    /// Rows of scores, `shown` for each structure that has its own template among them; behind the last row where there are
    /// fewer.
    rows: Index,
    /// Which of them is its own.
    own: Vec<f32>,
}

/// One of some tickets, by the inverse of its rank: near ones are what the judge is asked about.
fn drawn(tickets: &[&Ticket], noise: &mut Noise) -> usize {
    let weight = |ticket: &&Ticket| 1.0 / ticket.rank as f64;
    let mut left = noise.uniform() * tickets.iter().map(weight).sum::<f64>();
    let passed = |ticket: &&Ticket| {
        left -= weight(ticket);
        left < 0.0
    };
    tickets.iter().position(passed).unwrap_or(tickets.len() - 1)
}

impl<'a> PreparedProposals<'a> {
    pub fn new(model: &'a Orbit, batch: &[&Structure], keys: &[NoiseKey]) -> Result<Self, ModelError> {
        let judge = &model.config.judge;
        let mut shown: Vec<Vec<Proposal>> = Vec::new();
        for (s, key) in batch.iter().zip(keys) {
            let described = model.described(s);
            let described = described.as_ref().as_ref().map_err(|reason| unusable(s, reason))?;
            let tickets = model.own_tickets(s, &described.crystal.template());
            let Some(own) = tickets.iter().find(|ticket| ticket.is_own) else { continue };
            let mut others: Vec<&Ticket> = tickets.iter().filter(|ticket| !ticket.is_own).collect();
            let mut noise = Noise::of_epoch(key.seed, key.epoch, key.index);
            let mut kept = vec![own];
            while kept.len() < judge.shown && !others.is_empty() {
                kept.push(others.swap_remove(drawn(&others, &mut noise)));
            }
            shown.push(kept.into_iter().filter_map(|ticket| model.proposal(ticket)).collect());
        }
        let mut all = Vec::new();
        let (mut rows, mut own) = (Vec::new(), Vec::new());
        for proposals in &shown {
            let found: Vec<Laid<'_>> = proposals.iter().filter_map(|p| laid(model, p)).collect();
            // Where its own could not be laid out there is nothing to tell.
            let own_is_laid = proposals
                .first()
                .is_some_and(|own| found.first().is_some_and(|f| std::ptr::eq(f.proposal, own)));
            if found.len() < 2 || !own_is_laid {
                continue;
            }
            own.extend((0..judge.shown).map(|i| if i == 0 { 1.0 } else { 0.0 }));
            rows.extend((0..judge.shown).map(|i| (i < found.len()).then_some(all.len() + i)));
            all.extend(found);
        }
        let behind = all.len();
        Ok(Self {
            model,
            tokens: (!all.is_empty()).then(|| tokens(model, &all)),
            structures: batch.len(),
            rows: rows.into_iter().map(|row| row.unwrap_or(behind) as u32).collect(),
            own,
        })
    }
}

impl Prepared for PreparedProposals<'_> {
    /// Cross entropy of the own template among those that are shown.
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError> {
        let device = params.device();
        let shown = self.model.config.judge.shown;
        let sum = match &self.tokens {
            // Zero, but of the parameters.
            None => self.model.judge.nothing(params),
            Some(tokens) => {
                let scores = self.model.judge.forward(params, tokens);
                let scores = Tensor::cat(vec![scores, Tensor::full([1, 1], NOTHING, device)], 0);
                let scores = ops::gather(scores, &self.rows).reshape([self.rows.len() / shown, shown]);
                let likely = activation::log_softmax(scores, 1);
                -(likely * matrix(self.own.clone(), shown, device)).sum()
            }
        };
        Ok(vec![LossTerm { name: "template", sum, count: self.structures as f64, weight: 1.0 }])
    }
}

/// Proposals with their scores, the best first; those that cannot be laid out come last.
pub(super) fn judged(
    model: &Orbit,
    params: &Params,
    proposals: Vec<Proposal>,
) -> Result<Vec<(Proposal, f64)>, ModelError> {
    let found: Vec<Option<Laid<'_>>> = proposals.iter().map(|p| laid(model, p)).collect();
    let is_laid: Vec<bool> = found.iter().map(Option::is_some).collect();
    let found: Vec<Laid<'_>> = found.into_iter().flatten().collect();
    let scores = match found.is_empty() {
        true => Vec::new(),
        false => {
            let tokens = tokens(model, &found);
            to_host(params.scope(|| model.judge.forward(params, &tokens)))?
        }
    };
    let mut scores = scores.into_iter();
    let mut judged: Vec<(Proposal, f64)> = proposals
        .into_iter()
        .zip(is_laid)
        .map(|(p, laid)| {
            // In training a template is compared with others by the inverse of their ranks: what it learns is the logarithm
            // of its probability over this weight.
            let weight = -f64::from(p.origin.facts[FACTS - 1]);
            let score = laid.then(|| scores.next()).flatten();
            (p, score.map_or(f64::NEG_INFINITY, |score| f64::from(score) + weight))
        })
        .collect();
    // Stable: equal ones stay in the order of their distances.
    judged.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(judged)
}
