//! Checks of samples and of what a model can be asked for.

use std::collections::BTreeSet;

use druse_crystal::symmetry::analyze;
use druse_crystal::{Composition, Element, Structure};
use druse_models::{
    Capabilities, Condition, ConditionSet, Conditions, Generator, MicroBatchLimit, ModelError, SampleRequest,
    sample_all,
};
use druse_nn::device::cpu;

use super::crystals::formula;
use super::{Finding, Fitted, on_threads, text};

/// A sample, or why there is none.
type Outcome = Result<Structure, ModelError>;

/// How far the operations of a space group may be off, in Å.
const SYMPREC: f64 = 1e-2;

/// Conditions of these kinds that a structure satisfies; `None` when it has more than the model knows.
fn conditions_of(
    capabilities: &Capabilities,
    kinds: ConditionSet,
    s: &Structure,
) -> Result<Option<Conditions>, String> {
    let knows = |element: &Element| element.z() <= capabilities.largest_z;
    if capabilities.max_atoms.is_some_and(|limit| s.len() > limit) || !s.species.iter().all(knows) {
        return Ok(None);
    }
    let mut conditions = Conditions::default();
    for kind in kinds.iter() {
        conditions = match kind {
            Condition::Composition => {
                let composition = Some(Composition::from_species(&s.species));
                let mut with = conditions;
                with.composition = composition;
                with
            }
            Condition::NumAtoms => conditions.and_num_atoms(s.len()),
            Condition::ChemicalSystem => conditions.and_chemical_system(s.species.iter().copied().collect()),
            Condition::SpaceGroup => conditions.and_space_group(analyze(s, SYMPREC).map_err(text)?.number),
            Condition::Sites => conditions.and_species(s.species.iter().copied()),
            Condition::Properties => match capabilities.properties.first() {
                Some(name) => conditions.and_property(name, 1.0),
                None => return Err("properties are served, but the capabilities name none".into()),
            },
            Condition::Latent => {
                let width = capabilities.latent_width.ok_or("latents are served, but have no width")?;
                let latent = (0..width).map(|i| 0.1 * (i as f32 + s.len() as f32).sin()).collect();
                let mut with = conditions;
                with.latent = Some(latent);
                with
            }
            other => return Err(format!("the contract does not know the condition `{}`", other.name())),
        };
    }
    Ok(Some(conditions))
}

/// A crystal that was trained on, and a request for what it is.
type Asked<'f> = (&'f Structure, SampleRequest);

/// Requests for every combination that the model serves, of crystals of two, three or more sizes.
pub(super) fn requests<'f>(fitted: &'f Fitted<'_>) -> Result<Vec<Asked<'f>>, String> {
    let generator = fitted.model.as_generator().map_err(text)?;
    let capabilities = generator.capabilities();
    let mut all = Vec::new();
    // The structures without symmetry come last; the first are of known space groups.
    let structures: Vec<&Structure> = fitted.contract.structures.iter().step_by(3).take(3).collect();
    for &kinds in &capabilities.combinations {
        let before = all.len();
        for s in &structures {
            if let Some(conditions) = conditions_of(&capabilities, kinds, s)? {
                all.push((*s, SampleRequest::new(conditions, 4, all.len() as u64)));
            }
        }
        if all.len() == before {
            return Err(format!("none of the contract's structures is within the capabilities for {kinds}"));
        }
    }
    match all.is_empty() {
        true => Err("the model serves no conditions, not even none".into()),
        false => Ok(all),
    }
}

fn generator<'f>(fitted: &'f Fitted<'_>) -> Option<&'f dyn Generator> {
    fitted.model.as_generator().ok()
}

fn only_requests(fitted: &Fitted<'_>) -> Result<Vec<SampleRequest>, String> {
    Ok(requests(fitted)?.into_iter().map(|(_, request)| request).collect())
}

fn sampled(fitted: &Fitted<'_>, requests: &[SampleRequest]) -> Result<Vec<Outcome>, String> {
    let generator = fitted.model.as_generator().map_err(text)?;
    sample_all(generator, &fitted.params, requests).map_err(text)
}

pub(super) fn samples(fitted: &Fitted<'_>) -> Finding {
    let capabilities = fitted.model.as_generator().map_err(text)?.capabilities();
    let asked = requests(fitted)?;
    let results = sampled(fitted, &only_requests(fitted)?)?;
    let mut failures = Vec::new();
    for ((_, request), result) in asked.iter().zip(&results) {
        match result {
            Ok(s) => satisfies(&capabilities, &request.conditions, s)
                .map_err(|e| format!("{}, asked for {}: {e}", formula(s), request.conditions.kinds()))?,
            Err(e) => failures.push(e.to_string()),
        }
    }
    let (n, failed) = (asked.len(), failures.len());
    if 2 * failed > n {
        return Err(format!("{failed} of {n} failed, the first of them: {}", failures[0]));
    }
    let combinations: Vec<String> = capabilities.combinations.iter().map(ToString::to_string).collect();
    Ok(format!("{n} structures, {failed} failed; asked for {}", combinations.join(", ")))
}

fn satisfies(capabilities: &Capabilities, asked: &Conditions, s: &Structure) -> Result<(), String> {
    let differs =
        |what: &str, found: String, expected: String| Err(format!("{what} is {found}, not {expected}"));
    // The constructor checks lengths, coordinates and the cell.
    let valid = Structure::new(s.lattice, s.species.clone(), s.frac_coords.clone()).map_err(text)?;
    if valid.frac_coords != s.frac_coords {
        return Err("fractional coordinates are outside of the cell".into());
    }
    if s.is_empty() || capabilities.max_atoms.is_some_and(|limit| s.len() > limit) {
        return Err(format!("{} atoms, at most {:?} are possible", s.len(), capabilities.max_atoms));
    }
    let composition = Composition::from_species(&s.species);
    if let Some(expected) = asked.composition.as_ref().filter(|c| **c != composition) {
        return differs("the composition", composition.formula(), expected.formula());
    }
    if let Some(expected) = asked.num_atoms.filter(|n| *n != s.len()) {
        return differs("the number of atoms", s.len().to_string(), expected.to_string());
    }
    let elements: BTreeSet<Element> = s.species.iter().copied().collect();
    if let Some(expected) = asked.chemical_system.as_ref().filter(|system| **system != elements) {
        return differs("the chemical system", format!("{elements:?}"), format!("{expected:?}"));
    }
    if asked.sites.is_some() && asked.species().is_some_and(|species| species != s.species) {
        return differs("the list of sites", format!("{:?}", s.species), format!("{:?}", asked.species()));
    }
    if let Some(expected) = asked.space_group {
        let found = analyze(s, SYMPREC).map_err(text)?.number;
        if found != expected {
            return differs("the space group", found.to_string(), expected.to_string());
        }
    }
    Ok(())
}

pub(super) fn elements(fitted: &Fitted<'_>) -> Finding {
    let limit = fitted.model.as_generator().map_err(text)?.capabilities().largest_z;
    let structures: Vec<Structure> =
        sampled(fitted, &only_requests(fitted)?)?.into_iter().flatten().collect();
    match structures.iter().find(|s| s.species.iter().any(|element| element.z() > limit)) {
        Some(s) => Err(format!("a sample is {}, but the largest atomic number is {limit}", formula(s))),
        None => Ok(format!("{} samples", structures.len())),
    }
}

/// Samples everything with this limit; the first request is at half of its steps when the others come.
fn staggered(
    generator: &dyn Generator,
    fitted: &Fitted<'_>,
    requests: &[SampleRequest],
) -> Result<Vec<Outcome>, String> {
    let limit = MicroBatchLimit::atoms_at_most(4);
    let mut sampler = generator.sampler(&fitted.params, &limit);
    let mut left = Vec::new();
    for (slot, request) in (0..).zip(requests) {
        sampler.add(slot, request).map_err(text)?;
        if slot == 0 {
            for _ in 0..sampler.total_steps() / 2 {
                left.extend(sampler.step());
            }
        }
    }
    // Nothing takes longer than twice what it says.
    let mut steps = 2 * sampler.total_steps() + 2;
    while !sampler.is_empty() {
        left.extend(sampler.step());
        steps = steps.checked_sub(1).ok_or("a sampler takes more steps than it says")?;
    }
    left.sort_by_key(|s| s.slot);
    match left.iter().map(|s| s.slot).eq(0..requests.len() as u64) {
        true => Ok(left.into_iter().map(|s| s.result).collect()),
        false => Err("a structure was lost on its way, or left twice".into()),
    }
}

pub(super) fn company(fitted: &Fitted<'_>) -> Result<Option<String>, String> {
    let Some(generator) = generator(fitted) else { return Ok(None) };
    let requests = only_requests(fitted)?;
    let together = sampled(fitted, &requests)?;
    let same = |found: &[Outcome], how: &str| match found.iter().zip(&together).position(|(a, b)| a != b) {
        Some(i) => Err(format!(
            "sample {i}, of {}, is another one {how}: {} and {}",
            requests[i].conditions.kinds(),
            describe(&found[i]),
            describe(&together[i])
        )),
        None => Ok(()),
    };
    let alone: Result<Vec<_>, String> = requests
        .iter()
        .map(|request| Ok(sampled(fitted, std::slice::from_ref(request))?.remove(0)))
        .collect();
    same(&alone?, "alone")?;
    let reversed: Vec<SampleRequest> = requests.iter().rev().cloned().collect();
    let mut found = sampled(fitted, &reversed)?;
    found.reverse();
    same(&found, "in another order")?;
    same(&staggered(generator, fitted, &requests)?, "beside one that is half way")?;
    Ok(Some(format!("{} samples", requests.len())))
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Ok(s) => format!("{} with a cell of {:?}", formula(s), s.lattice.parameters()),
        Err(e) => e.to_string(),
    }
}

pub(super) fn noise(fitted: &Fitted<'_>) -> Result<Option<String>, String> {
    if generator(fitted).is_none() {
        return Ok(None);
    }
    let requests = only_requests(fitted)?;
    let first = sampled(fitted, &requests)?;
    if first != sampled(fitted, &requests)? {
        return Err("equal requests give other samples at the second time".into());
    }
    // Conditions may leave nothing to draw in one combination, but not in all.
    type Change = fn(&mut SampleRequest);
    let changes: [(&str, Change); 2] = [("seed", |r| r.seed += 1), ("index", |r| r.index += 100)];
    for (what, change) in changes {
        let mut other = requests.clone();
        other.iter_mut().for_each(change);
        if sampled(fitted, &other)? == first {
            return Err(format!("samples do not depend on the {what} of their request"));
        }
    }
    Ok(Some("seed and index of a request change the sample".into()))
}

pub(super) fn threads(fitted: &Fitted<'_>) -> Result<Option<String>, String> {
    if generator(fitted).is_none() {
        return Ok(None);
    }
    let requests = only_requests(fitted)?;
    let found = on_threads("samples", || sampled(fitted, &requests))?;
    Ok(Some(format!("{} samples", found.len())))
}

pub(super) fn conditions(fitted: &Fitted<'_>) -> Finding {
    let generator = fitted.model.as_generator().map_err(text)?;
    let capabilities = generator.capabilities();
    let limit = MicroBatchLimit::for_device(&cpu());
    let mut refused = 0;
    let mut refuse = |conditions: Conditions, word: &str| {
        let what = || format!("{} ({conditions:?})", conditions.kinds());
        let Err(error) = generator.check(&conditions) else { return Err(format!("{} is accepted", what())) };
        let request = SampleRequest::new(conditions.clone(), 0, 0);
        let added = generator.sampler(&fitted.params, &limit).add(0, &request);
        if added.as_ref() != Err(&error) {
            return Err(format!("{}: the sampler says {added:?}, not {error:?}", what()));
        }
        let message = error.to_string();
        if !message.contains(word) {
            return Err(format!("{}: the message does not mention `{word}`: {message}", what()));
        }
        refused += 1;
        Ok(())
    };
    // Something of every kind, to be asked for where it is not served.
    let any = Capabilities::new(Vec::new(), 118).with_latent(capabilities.latent_width.unwrap_or(4));
    let hydrogen = |n: usize| vec![Element::all().next().expect("there is hydrogen"); n];
    let one = |kind: Condition, s: &Structure| match kind {
        Condition::Properties => Ok(Conditions::default().and_property("a property nobody has", 1.0)),
        kind => conditions_of(&any, ConditionSet::of(&[kind]), s)?.ok_or_else(|| "unreachable".to_owned()),
    };
    let s = &fitted.contract.structures[0];
    for kind in Condition::ALL {
        if !capabilities.serves(ConditionSet::of(&[kind])) {
            refuse(one(kind, s)?, kind.name())?;
        }
    }
    if !capabilities.serves(ConditionSet::NONE) {
        refuse(Conditions::default(), "nothing")?;
    }
    for &kinds in &capabilities.combinations {
        let Some(good) = conditions_of(&capabilities, kinds, s)? else { continue };
        generator.check(&good).map_err(|e| format!("{kinds} of {} is refused: {e}", formula(s)))?;
        let has = |kind| kinds.contains(kind);
        if let Some(limit) = capabilities.max_atoms {
            let mut large = good.clone();
            large.composition =
                has(Condition::Composition).then(|| Composition::from_species(&hydrogen(limit + 1)));
            large.num_atoms = has(Condition::NumAtoms).then_some(limit + 1);
            if has(Condition::Sites) {
                large = large.and_species(hydrogen(limit + 1));
            }
            if large.atoms().is_some() {
                refuse(large, &(limit + 1).to_string())?;
            }
        }
        if let Ok(unknown) = Element::from_z(capabilities.largest_z + 1) {
            let mut strange = good.clone();
            strange.composition = has(Condition::Composition).then(|| Composition::from_species(&[unknown]));
            strange.chemical_system = has(Condition::ChemicalSystem).then(|| BTreeSet::from([unknown]));
            if has(Condition::Sites) {
                strange = strange.and_species([unknown]);
            }
            if !strange.elements().is_empty() {
                refuse(strange, unknown.symbol())?;
            }
        }
        if has(Condition::Latent) {
            let width = capabilities.latent_width.unwrap_or_default();
            let with = |latent| {
                let mut other = good.clone();
                other.latent = Some(latent);
                other
            };
            refuse(with(vec![0.0; width + 1]), &(width + 1).to_string())?;
            refuse(with(vec![f32::NAN; width]), "finite")?;
        }
        if has(Condition::Properties) {
            refuse(good.clone().and_property("a property nobody has", 1.0), "a property nobody has")?;
            let name = &capabilities.properties[0];
            refuse(good.clone().and_property(name, f64::NAN), name)?;
        }
        if has(Condition::SpaceGroup) {
            refuse(good.clone().and_space_group(231), "231")?;
        }
        if has(Condition::NumAtoms) && !has(Condition::Composition) && !has(Condition::Sites) {
            refuse(good.clone().and_num_atoms(0), "atoms")?;
        }
    }
    Ok(format!("{refused} requests refused"))
}
