//! Which of the templates that are proposed for a composition is its own: a network that reads each proposal with the geometry
//! of its parent.

use burn::tensor::{Tensor, activation};
use druse_crystal::{Composition, Structure};
use druse_nn::blocks::Linear;
use druse_nn::graph::Index;
use druse_nn::memory::to_host;
use druse_nn::ops::{self, Activation, matrix};
use druse_nn::{ParamBuilder, ParamId, Params};

use super::cell;
use super::config::NetworkConfig;
use super::model::{Orbit, unusable};
use super::pairs::Pairs;
use super::shelf::{Proposal, arrangement};
use super::tokens::{Place, Tokens};
use super::trunk::{ELEMENTS, Trunk, silent, table};
use crate::process::Noise;
use crate::{LossTerm, ModelError, NoiseKey, Prepared};

/// Numbers of a proposal: distance per element, whether there is one, the logarithm of its rank.
const FACTS: usize = 3;
/// The score of what is not there.
const NOTHING: f32 = -1e9;

pub(super) struct Judge {
    trunk: Trunk,
    /// What was on a site before.
    replaced: ParamId,
    facts: Linear,
    read: [Linear; 2],
}

/// Proposals that the network reads together.
pub(super) struct Docket {
    tokens: Tokens,
    replaced: Index,
    facts: Vec<f32>,
}

impl Judge {
    /// Registers its tensors below `prefix`, which ends with a dot.
    pub fn new(builder: &mut ParamBuilder, prefix: &str, config: &NetworkConfig) -> Self {
        let d = config.width;
        Self {
            trunk: Trunk::new(builder, prefix, config),
            replaced: table(builder, &format!("{prefix}replaced"), [ELEMENTS, d]),
            facts: Linear::new(builder, &format!("{prefix}facts"), [FACTS, d], true),
            read: [
                Linear::new(builder, &format!("{prefix}read.0"), [d, d], true),
                silent(builder, &format!("{prefix}read.1"), [d, 1]),
            ],
        }
    }

    /// A score for each proposal: (proposals, 1).
    pub fn forward(&self, params: &Params, docket: &Docket) -> Tensor<2> {
        let tokens = &docket.tokens;
        let facts = self.facts.forward(params, matrix(docket.facts.clone(), FACTS, params.device()));
        let more = ops::gather(params.get(self.replaced), &docket.replaced)
            + ops::gather(facts, &tokens.crystals);
        let known = self.trunk.forward(params, tokens, Some(more));
        let cells = ops::gather(known.tokens, &tokens.cells);
        let read = self.read[0].activated(params, cells, Activation::Silu);
        self.read[1].forward(params, read)
    }
}

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

impl Docket {
    fn new(model: &Orbit, laid: &[Laid<'_>]) -> Self {
        let places: Vec<Place<'_>> = laid
            .iter()
            .map(|l| Place {
                frame: &l.proposal.frame,
                cell: l.cell,
                frac: &l.proposal.frac,
                time: 1.0,
                pairs: &l.pairs,
            })
            .collect();
        let mut replaced = Vec::new();
        let mut facts = Vec::with_capacity(FACTS * laid.len());
        for l in laid {
            let p = l.proposal;
            replaced.extend(p.replaced.iter().map(|e| u32::from(e.z())));
            replaced.push(0);
            let mut elements = p.frame.elements.clone();
            elements.sort_unstable();
            elements.dedup();
            facts.push((p.distance / elements.len() as f64) as f32);
            facts.push(if p.distance == 0.0 { 1.0 } else { 0.0 });
            facts.push((p.rank as f32).ln());
        }
        Self { tokens: Tokens::new(&places, model.judge_radial.count()), replaced: replaced.into(), facts }
    }
}

/// Proposals for each structure of a micro-batch, its own template among them where the training set has it.
pub(super) struct PreparedProposals<'a> {
    model: &'a Orbit,
    docket: Option<Docket>,
    structures: usize,
    /// Rows of scores, `shown` for each structure that has its own template among them; behind the last row where there are
    /// fewer.
    rows: Index,
    /// Which of them is its own.
    own: Vec<f32>,
}

impl<'a> PreparedProposals<'a> {
    pub fn new(
        model: &'a Orbit,
        batch: &[&Structure],
        keys: &[NoiseKey],
    ) -> Result<Self, ModelError> {
        let judge = &model.config.judge;
        let mut shown: Vec<(Vec<Proposal>, usize)> = Vec::new();
        for (s, key) in batch.iter().zip(keys) {
            let described = model.described(s);
            let described = described.as_ref().as_ref().map_err(|reason| unusable(s, reason))?;
            let composition = Composition::from_species(&s.species);
            let proposals = model.shelf().proposals(&composition, None, Some(s), judge.among);
            let Ok(mut proposals) = proposals else { continue };
            let own = arrangement(&described.crystal.template());
            let Some(place) = proposals.iter().position(|p| arrangement(&p.template) == own) else { continue };
            if proposals.len() < 2 {
                continue;
            }
            let mut noise = Noise::of_epoch(key.seed, key.epoch, key.index);
            // Its own, and some of the others.
            let mut kept = vec![proposals.swap_remove(place)];
            while kept.len() < judge.shown && !proposals.is_empty() {
                kept.push(proposals.swap_remove(noise.below(proposals.len())));
            }
            shown.push((kept, 0));
        }
        let mut all = Vec::new();
        let (mut rows, mut own) = (Vec::new(), Vec::new());
        for (proposals, _) in &shown {
            let found: Vec<Laid<'_>> = proposals.iter().filter_map(|p| laid(model, p)).collect();
            // Where its own could not be laid out there is nothing to tell.
            if found.len() < 2 || !std::ptr::eq(found[0].proposal, &proposals[0]) {
                continue;
            }
            own.extend((0..judge.shown).map(|i| if i == 0 { 1.0 } else { 0.0 }));
            rows.extend((0..judge.shown).map(|i| (i < found.len()).then_some(all.len() + i)));
            all.extend(found);
        }
        let behind = all.len();
        Ok(Self {
            model,
            docket: (!all.is_empty()).then(|| Docket::new(model, &all)),
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
        let sum = match &self.docket {
            None => Tensor::zeros([1], device),
            Some(docket) => {
                let scores = self.model.judge.forward(params, docket);
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
            let docket = Docket::new(model, &found);
            to_host(params.scope(|| model.judge.forward(params, &docket)))?
        }
    };
    let mut scores = scores.into_iter();
    let mut judged: Vec<(Proposal, f64)> = proposals
        .into_iter()
        .zip(is_laid)
        .map(|(p, laid)| (p, laid.then(|| scores.next()).flatten().map_or(f64::NEG_INFINITY, f64::from)))
        .collect();
    // Stable: equal ones stay in the order of their distances.
    judged.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(judged)
}
