//! The network: which space group a composition has, then the place of one site after the other.
//!
//! What known crystals vote for is its first guess; what it learns corrects that. A state is a sum over what is asked for and
//! what is written, so that a step costs the same whatever is written, and no order of the elements is preferred but the one
//! that templates are written in.

use burn::tensor::{Tensor, activation};
use druse_crystal::Element;
use druse_nn::blocks::Linear;
use druse_nn::graph::Index;
use druse_nn::memory::to_host;
use druse_nn::ops::{self, Activation, matrix};
use druse_nn::{Init, ParamBuilder, ParamId, Params};

use super::super::judge::{ELEMENT_NUMBERS, element_numbers};
use super::super::trunk::silent;
use super::draft::Asked;
use super::places::{GROUPS, PLACES, Places, SYMMETRIES};
use super::votes::{Shares, Votes, WEIGHINGS};
use crate::ModelError;

/// Numbers of atoms that have a vector of their own, from 0; all larger ones share the last.
const COUNTS: usize = 65;
/// Steps in which the share of an element is told.
const SHARES: usize = 21;
/// Elements that are told by their place in the order; all later ones share the last.
const SLOTS: usize = 8;
/// Spread of the vectors when training begins, and of those that are compared with states.
const SPREAD: f32 = 0.5;
const QUIET: f32 = 0.05;
/// Added to shares, whose logarithms are taken: what nobody votes for is not impossible.
const LEAST: Shares = [1e-3, 2e-3, 4e-3, 2e-3];
/// The score of what cannot be.
const NEVER: f32 = -1e9;

/// A vector for each of some things, as it is read, and as states are compared with it.
struct Vectors {
    read: ParamId,
    told: ParamId,
}

/// The tables and layers.
pub(in super::super) struct Network {
    numbers: Linear,
    names: ParamId,
    counts: ParamId,
    totals: ParamId,
    shares: ParamId,
    slots: ParamId,
    left: ParamId,
    groups: Vectors,
    places: Vectors,
    symmetries: Vectors,
    atoms: Vectors,
    likely: ParamId,
    /// What stands before the first site, and for the question of the group: (2, width).
    begin: ParamId,
    of_element: Linear,
    of_composition: [Linear; 2],
    of_written: Linear,
    group: [Linear; 2],
    site: [Linear; 2],
    /// How much the votes count: (width, [`WEIGHINGS`]).
    trust: [Linear; 2],
}

/// A composition to be written for, and what is told of its elements in a training step.
pub(in super::super) struct Subject<'a> {
    pub asked: &'a Asked,
    pub votes: &'a Votes,
    /// 0 for the elements that are told by their numbers alone.
    pub named: Vec<f32>,
}

/// Which place is next.
pub(in super::super) struct Question<'a> {
    /// Number of the composition.
    pub subject: usize,
    pub group: u16,
    pub written: &'a [u16],
}

/// What may be answered: numbers of places, as many for each question as the longest list has; [`PLACES`] where there is none.
pub(in super::super) struct Options {
    pub places: Vec<usize>,
    pub longest: usize,
}

/// What is set to zero of states, and scaled up otherwise: (rows, width) for what goes into a perceptron, and for what comes
/// out of it.
pub(in super::super) type Kept = [Vec<f32>; 2];

/// Compositions as the network reads them.
pub(in super::super) struct Read {
    /// (compositions, width).
    compositions: Tensor<2>,
    /// (elements, width): with their numbers of atoms, and without.
    elements: Tensor<2>,
    bare: Tensor<2>,
    /// The first element of each composition.
    first: Vec<usize>,
}

fn count(n: usize) -> u32 {
    n.min(COUNTS - 1) as u32
}

impl Network {
    /// Registers its tensors below `prefix`, which ends with a dot.
    pub fn new(builder: &mut ParamBuilder, prefix: &str, d: usize) -> Self {
        let name = |part: &str| format!("{prefix}{part}");
        let mut table =
            |part: &str, rows: usize, spread| builder.add(name(part), &[rows, d], Init::Uniform(spread));
        let mut vectors = |part: &str, rows, spread| Vectors {
            read: table(&format!("{part}.read"), rows, spread),
            told: table(&format!("{part}.told"), rows, QUIET),
        };
        let (groups, places) =
            (vectors("groups", GROUPS + 1, SPREAD), vectors("places", PLACES + 1, 2.0 * QUIET));
        let (symmetries, atoms) =
            (vectors("symmetries", SYMMETRIES, SPREAD), vectors("atoms", COUNTS, SPREAD));
        let names = table("names", usize::from(Element::MAX_Z) + 1, QUIET);
        let [counts, totals, left] = ["counts", "totals", "left"].map(|part| table(part, COUNTS, SPREAD));
        let (shares, slots, begin) =
            (table("shares", SHARES, SPREAD), table("slots", SLOTS, SPREAD), table("begin", 2, SPREAD));
        let likely = builder.add(name("likely"), &[PLACES + 1, 1], Init::Zeros);
        let mut linear = |part: &str, shape| Linear::new(builder, &name(part), shape, true);
        let numbers = linear("numbers", [ELEMENT_NUMBERS, d]);
        let of_element = linear("element", [d, d]);
        let of_composition = [linear("composition.group", [d, d]), linear("composition.site", [d, d])];
        let of_written = linear("written", [d, d]);
        let (group, site) = (linear("group.0", [d, 2 * d]), linear("site.0", [d, 2 * d]));
        let group = [group, silent(builder, &name("group.1"), [2 * d, d])];
        let site = [site, silent(builder, &name("site.1"), [2 * d, d])];
        let equal = Some(Init::Constant(1.0 / WEIGHINGS as f32));
        let trust = ["group.trust", "site.trust"]
            .map(|part| Linear::with_init(builder, &name(part), [d, WEIGHINGS], Init::Zeros, equal));
        Self {
            numbers,
            names,
            counts,
            totals,
            shares,
            slots,
            left,
            groups,
            places,
            symmetries,
            atoms,
            likely,
            begin,
            of_element,
            of_composition,
            of_written,
            group,
            site,
            trust,
        }
    }

    /// Hashes values that every update changes, few enough for each request.
    pub fn hash(&self, params: &Params, hash: &mut blake3::Hasher) -> Result<(), ModelError> {
        let trust = self.trust.each_ref().map(|layer| layer.weight(params));
        for tensor in [params.get(self.likely), params.get(self.begin)].into_iter().chain(trust) {
            to_host(tensor)?.iter().for_each(|x| _ = hash.update(&x.to_le_bytes()));
        }
        Ok(())
    }

    /// Zero, but of the parameters.
    pub fn nothing(&self, params: &Params) -> Tensor<1> {
        params.get(self.names).sum().mul_scalar(0.0)
    }

    /// Reads compositions.
    pub fn read(&self, params: &Params, subjects: &[Subject<'_>]) -> Read {
        let device = params.device();
        let rows =
            || subjects.iter().enumerate().flat_map(|(i, s)| s.asked.elements.iter().map(move |e| (i, e)));
        let index = |of: &dyn Fn(usize, &(Element, usize)) -> u32| -> Index {
            rows().map(|(i, e)| of(i, e)).collect()
        };
        let atoms: Vec<usize> = subjects.iter().map(|s| s.asked.atoms()).collect();
        let (elements, compositions) = (index(&|_, e| u32::from(e.0.z())), index(&|i, _| i as u32));
        let from = |table, index: &Index| ops::gather(params.get(table), index);
        let named = subjects.iter().flat_map(|s| s.named.iter().copied()).collect();
        let described = self.numbers.forward(params, element_numbers(device));
        let bare = ops::gather(described, &elements) + from(self.names, &elements) * matrix(named, 1, device);
        let share = |i: usize, e: &(Element, usize)| ((SHARES - 1) * e.1 + atoms[i] / 2) / atoms[i].max(1);
        let slots =
            subjects.iter().flat_map(|s| (0..s.asked.elements.len()).map(|k| k.min(SLOTS - 1) as u32));
        let told = bare.clone()
            + from(self.counts, &index(&|_, e| count(e.1)))
            + from(self.totals, &index(&|i, _| count(atoms[i])))
            + from(self.shares, &index(&|i, e| share(i, e) as u32))
            + from(self.slots, &slots.collect());
        let each = self.of_element.activated(params, normalized(told.clone()), Activation::Silu);
        let sizes = subjects.iter().map(|s| s.asked.elements.len());
        let first = sizes.scan(0, |sum, n| Some(std::mem::replace(sum, *sum + n))).collect();
        let compositions = ops::scatter_sum(each, &compositions, subjects.len());
        Read { compositions, elements: told, bare, first }
    }

    /// Logarithms of the probabilities of the space groups, from 1 on: (compositions, 230). Those that `possible` refuses are
    /// left out.
    pub fn groups(
        &self,
        params: &Params,
        read: &Read,
        subjects: &[Subject<'_>],
        possible: &dyn Fn(usize, u16) -> bool,
        kept: Option<Kept>,
    ) -> Tensor<2> {
        let device = params.device();
        let atoms: Index = subjects.iter().map(|s| count(s.asked.atoms())).collect();
        let begin: Index = subjects.iter().map(|_| 1).collect();
        let state = self.of_composition[0].forward(params, read.compositions.clone())
            + ops::gather(params.get(self.totals), &atoms)
            + ops::gather(params.get(self.begin), &begin);
        let state = thought(params, state, &self.group, kept);
        let groups: Index = (1..=GROUPS as u32).collect();
        let told = ops::gather(params.get(self.groups.told), &groups);
        let scores = state.clone().matmul(told.transpose());
        let (mut shares, mut never) = (Vec::new(), Vec::new());
        for (i, subject) in subjects.iter().enumerate() {
            let voted = subject.votes.groups();
            for group in 1..=GROUPS as u16 {
                shares.extend(logarithms(voted.get(&group)));
                never.push(if possible(i, group) { 0.0 } else { NEVER });
            }
        }
        let trust = self.trust[0].forward(params, state);
        let scores = scores + weighed(trust, shares, GROUPS, device) + matrix(never, GROUPS, device);
        activation::log_softmax(scores, 1)
    }

    /// Logarithms of the probabilities of the next places: (questions, longest).
    pub fn sites(
        &self,
        params: &Params,
        read: &Read,
        subjects: &[Subject<'_>],
        (questions, options): (&[Question<'_>], &Options),
        kept: Option<Kept>,
    ) -> Tensor<2> {
        let (device, table) = (params.device(), Places::get());
        let of = |table, index: &Index| ops::gather(params.get(table), index);
        let (mut element, mut left, mut before) = (Vec::new(), Vec::new(), Vec::new());
        // Everything that is written: place, row of its element, question.
        let (mut places, mut elements, mut asks) = (Vec::new(), Vec::new(), Vec::new());
        for (row, question) in questions.iter().enumerate() {
            let (asked, first) = (subjects[question.subject].asked, read.first[question.subject]);
            let mut steps = asked.steps(question.written);
            for (&place, step) in question.written.iter().zip(&mut steps) {
                places.push(u32::from(place));
                elements.push((first + step.element) as u32);
                asks.push(row as u32);
            }
            let next = steps.next().expect("a question is asked where a site is missing");
            element.push((first + next.element) as u32);
            left.push(count(next.left));
            before.push(if question.written.is_empty() { 0 } else { places.len() as u32 });
        }
        let of_question = |of: &dyn Fn(&Question<'_>) -> u32| -> Index { questions.iter().map(of).collect() };
        let mut state = self.of_composition[1]
            .forward(params, ops::gather(read.compositions.clone(), &of_question(&|q| q.subject as u32)))
            + ops::gather(read.elements.clone(), &element.into())
            + of(self.groups.read, &of_question(&|q| u32::from(q.group)))
            + of(self.left, &left.into());
        let begin = of(self.begin, &[0].into_iter().collect());
        let last = match places.is_empty() {
            true => begin,
            false => {
                let place = |number: &u32| table.place(*number as usize);
                let written = of(self.places.read, &places.iter().copied().collect())
                    + of(self.symmetries.read, &places.iter().map(|n| place(n).symmetry as u32).collect())
                    + of(self.atoms.read, &places.iter().map(|n| count(place(n).atoms)).collect())
                    + ops::gather(read.bare.clone(), &elements.into());
                let each = self.of_written.activated(params, normalized(written.clone()), Activation::Silu);
                state = state + ops::scatter_sum(each, &asks.into(), questions.len());
                Tensor::cat(vec![begin, written], 0)
            }
        };
        let state = thought(params, state + ops::gather(last, &before.into()), &self.site, kept);

        let longest = options.longest;
        let all = 0..PLACES;
        let told = params.get(self.places.told).narrow(0, 0, PLACES)
            + of(self.symmetries.told, &all.clone().map(|n| table.place(n).symmetry as u32).collect())
            + of(self.atoms.told, &all.map(|n| count(table.place(n).atoms)).collect());
        let told = Tensor::cat(vec![told, params.get(self.places.told).narrow(0, PLACES, 1)], 0);
        let option: Index = options.places.iter().map(|&n| n as u32).collect();
        let rows = questions.len();
        let d = state.dims()[1];
        let told = ops::gather(told, &option).reshape([rows, longest, d]);
        let scores = (told * state.clone().reshape([rows, 1, d])).sum_dim(2).reshape([rows, longest]);
        let likely = ops::gather(params.get(self.likely), &option).reshape([rows, longest]);
        let (mut shares, mut never) = (Vec::new(), Vec::new());
        for (question, places) in questions.iter().zip(options.places.chunks(longest)) {
            let voted = subjects[question.subject].votes.behind(question.group, question.written);
            for &place in places {
                shares.extend(logarithms(voted.get(&(place as u16))));
                never.push(if place < PLACES { 0.0 } else { NEVER });
            }
        }
        let trust = self.trust[1].forward(params, state);
        let scores =
            scores + likely + weighed(trust, shares, longest, device) + matrix(never, longest, device);
        activation::log_softmax(scores, 1)
    }
}

/// What each way to weigh says, as logarithms.
fn logarithms(shares: Option<&Shares>) -> Shares {
    let shares = shares.copied().unwrap_or_default();
    std::array::from_fn(|k| (shares[k] + LEAST[k]).ln())
}

/// Σ over the ways to weigh: trust (rows, ways) times logarithms (rows, options, ways).
fn weighed(
    trust: Tensor<2>,
    logarithms: Vec<f32>,
    options: usize,
    device: &burn::tensor::Device,
) -> Tensor<2> {
    let rows = trust.dims()[0];
    let logarithms = matrix(logarithms, WEIGHINGS, device).reshape([rows, options, WEIGHINGS]);
    (logarithms * trust.reshape([rows, 1, WEIGHINGS])).sum_dim(2).reshape([rows, options])
}

/// A state, and what a perceptron adds to it.
fn thought(params: &Params, state: Tensor<2>, layers: &[Linear; 2], kept: Option<Kept>) -> Tensor<2> {
    let d = state.dims()[1];
    let device = params.device();
    let [before, behind] = match kept {
        Some(kept) => kept.map(|kept| Some(matrix(kept, d, device))),
        None => [None, None],
    };
    let some = |x: Tensor<2>, kept: Option<Tensor<2>>| match kept {
        Some(kept) => x * kept,
        None => x,
    };
    let state = some(state, before);
    let inner = layers[0].activated(params, normalized(state.clone()), Activation::Silu);
    normalized(some(state + layers[1].forward(params, inner), behind))
}

/// Rows of mean 0 and variance 1.
fn normalized(x: Tensor<2>) -> Tensor<2> {
    let (d, device) = (x.dims()[1], x.device());
    ops::layer_norm(x, Tensor::ones([1, d], &device), Tensor::zeros([1, d], &device))
}
