//! Properties of the orbit model: the contract of models, what it refuses, symmetry, learning by heart.

use druse_crystal::symmetry::analyze;
use druse_crystal::{Composition, Element, Lattice, Structure, SymmetricStructure, within_cutoff};
use druse_models::orbit::{
    Begin, Coupling, FlowConfig, NetworkConfig, Orbit, OrbitConfig, OrbitSampling, WriterConfig,
};
use druse_models::registry::Registry;
use druse_models::{
    Conditions, Generator, ModelError, NoiseKey, SampleRequest, Site, Trainable, differentiate, evaluate,
    sample_all,
};
use druse_nn::Params;
use druse_nn::device::cpu;
use druse_nn::optim::{Adam, AdamConfig};
use druse_testkit::contract::{self, Check};
use druse_testkit::prototype;

fn tiny() -> OrbitConfig {
    OrbitConfig {
        network: NetworkConfig {
            width: 24,
            layers: 2,
            heads: 2,
            pair_width: 12,
            radial: 12,
            ..NetworkConfig::default()
        },
        tolerance: 0.01,
        ..OrbitConfig::default()
    }
}

fn model(config: OrbitConfig) -> Orbit {
    let sampling = OrbitSampling { evaluations: 4, ..OrbitSampling::default() };
    Orbit::new(config).unwrap().with_sampling(&sampling).unwrap()
}

fn keys(n: usize, epoch: u64) -> Vec<NoiseKey> {
    (0..n as u64).map(|index| NoiseKey { seed: 5, epoch, index }).collect()
}

#[test]
fn it_keeps_the_contract() {
    contract::kind(&Registry::builtin(), "orbit").run();
    let origin = "the origin is that of the space group, and in P 1 the first atom's place is noise";
    let of = |self_conditioning, coupling| {
        let flow = FlowConfig { self_conditioning, coupling, ..FlowConfig::default() };
        move || model(OrbitConfig { flow: flow.clone(), ..tiny() })
    };
    contract::generator(of(0.0, Coupling::Normalizer)).skip(Check::Translation, origin).run();
    contract::generator(of(0.5, Coupling::None))
        .skip(Check::Translation, origin)
        .skip(Check::Gradient, "the earlier prediction is a constant to the objective, by definition")
        .run();
    let writer = WriterConfig { width: 12, ..WriterConfig::default() };
    let flow = FlowConfig { self_conditioning: 0.0, ..FlowConfig::default() };
    contract::generator(move || model(OrbitConfig { flow: flow.clone(), writer: writer.clone(), ..tiny() }))
        .skip(Check::Translation, origin)
        .run();
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let model = model(tiny());
    let site = |element: &str, wyckoff: Option<char>| Site { element: element.parse().unwrap(), wyckoff };
    let ask = |group: u16, sites: Vec<Site>| {
        model.check(&Conditions::default().and_space_group(group).and_sites(sites))
    };
    ask(225, vec![site("Na", Some('a')), site("Cl", Some('b'))]).unwrap();
    ask(225, vec![site("Na", None), site("Cl", None)]).unwrap();
    for (group, sites, words) in [
        (225, vec![site("Na", Some('a')), site("Cl", Some('a'))], vec!["4a", "225", "2 times"]),
        (225, vec![site("Na", Some('z'))], vec!["225", "`z`"]),
        (225, vec![], vec!["without any"]),
    ] {
        let error = ask(group, sites).unwrap_err();
        assert!(matches!(error, ModelError::Condition(_)));
        words.iter().for_each(|w| assert!(error.to_string().contains(w), "{error}"));
    }
}

/// What the positions of a group cannot hold, and what no known crystal has, is refused with what there is.
#[test]
fn conditions_of_draws_are_checked() {
    let crystals: Vec<Structure> = ["quartz", "NaCl", "KNbO3", "CsCl"].map(prototype).into();
    let mut model = model(tiny());
    model.fit_statistics(&crystals.iter().collect::<Vec<_>>()).unwrap();
    let any = Conditions::default;
    let system = |symbols: &[&str]| symbols.iter().map(|s| s.parse().unwrap()).collect();
    for good in [
        any(),
        any().and_num_atoms(5),
        any().and_space_group(221).and_num_atoms(2),
        any().and_chemical_system(system(&["Rb", "Br"])),
        any().and_chemical_system(system(&["K", "Ta", "O"])).and_space_group(221).and_num_atoms(5),
    ] {
        model.check(&good).unwrap();
    }
    let composition = |formula: &str| Conditions::from(Composition::parse(formula).unwrap());
    for (bad, words) in [
        (any().and_num_atoms(7), vec!["7 atoms", "2, 5, 9"]),
        (any().and_num_atoms(9).and_space_group(221), vec!["9 atoms", "221", "154"]),
        (any().and_num_atoms(3).and_space_group(227), vec!["3 atoms", "227", "2, 4"]),
        (any().and_space_group(62), vec!["62", "154, 221, 225"]),
        (any().and_chemical_system(system(&["K"])), vec!["1 elements", "2, 3"]),
        (composition("NaCl").and_space_group(227), vec!["227", "NaCl", "primitive cell"]),
        (composition("Na4Cl4").and_space_group(225), vec!["225", "conventional", "write NaCl"]),
    ] {
        let error = model.check(&bad).unwrap_err();
        assert!(matches!(error, ModelError::Condition(_)));
        words.iter().for_each(|w| assert!(error.to_string().contains(w), "{bad:?}: {error}"));
    }
}

/// With sites given, a known crystal of the structure type has the numbers, whatever its origin and its elements.
#[test]
fn sites_begin_with_known_crystals() {
    let crystals: Vec<Structure> = ["quartz", "NaCl", "KNbO3", "CsCl"].map(prototype).into();
    let mut model = model(tiny());
    model.fit_statistics(&crystals.iter().collect::<Vec<_>>()).unwrap();
    let params = Params::init(model.parameters(), 3, &cpu());
    let draw = |conditions: &Conditions, nth: u64| {
        let request = SampleRequest { nth, ..SampleRequest::new(conditions.clone(), 1, nth) };
        sample_all(&model, &params, &[request]).unwrap().remove(0).unwrap()
    };
    let exchanged = |s: &Structure, pairs: &[(&str, &str)]| {
        let Conditions { space_group, sites, .. } = model.sites_like(s).unwrap();
        let element = |symbol: &str| symbol.parse::<Element>().unwrap();
        let new = |e: Element| pairs.iter().find(|(a, _)| element(a) == e).map_or(e, |(_, b)| element(b));
        let sites = sites.unwrap().into_iter().map(|s| Site { element: new(s.element), ..s }).collect();
        Conditions::default().and_space_group(space_group.unwrap()).and_sites(sites)
    };
    // Quartz of germanium: the coordinates of quartz, and its cell but for the volume.
    let quartz = &crystals[0];
    let asked = exchanged(quartz, &[("Si", "Ge")]);
    let drawn = draw(&asked, 0);
    assert_eq!(drawn.properties["parent"], "row-1");
    assert!(drawn.properties["distance"].as_f64().unwrap() > 0.0);
    let (a, b) = (drawn.lattice.parameters(), quartz.lattice.parameters());
    assert!(a[0] > b[0] && (a[2] / a[0] - b[2] / b[0]).abs() < 1e-6, "{a:?} {b:?}");
    let mut back = drawn.clone();
    back.species.iter_mut().filter(|e| e.symbol() == "Ge").for_each(|e| *e = "Si".parse().unwrap());
    let scale = (quartz.lattice.volume() / back.lattice.volume()).cbrt();
    back.lattice = Lattice::from_rows(back.lattice.rows().map(|row| row.map(|x| scale * x))).unwrap();
    let [a, b] = [&back, quartz].map(|s| SymmetricStructure::from_structure(s, 0.01).unwrap());
    assert_eq!(a.template().equivalents()[0], b.template().equivalents()[0]);
    let distances = |s: &Structure| {
        let found = within_cutoff(&s.lattice, &s.frac_coords, 3.0).unwrap();
        let mut all: Vec<f64> = (0..s.len()).flat_map(|i| found.of(i).iter().map(|n| n.distance)).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let (x, y) = (distances(&back), distances(quartz));
    assert!(x.len() == y.len() && x.iter().zip(&y).all(|(x, y)| (x - y).abs() < 1e-4));
    // The other origin: the letters are those asked for.
    let site = |element: &str, letter| Site { element: element.parse().unwrap(), wyckoff: Some(letter) };
    for (na, cl) in [('a', 'b'), ('b', 'a')] {
        let sites = vec![site("K", na), site("Br", cl)];
        let asked = Conditions::default().and_space_group(225).and_sites(sites);
        let drawn = draw(&asked, 0);
        assert_eq!(drawn.properties["parent"], "row-2");
        let template = drawn.properties["template"].as_str().unwrap();
        assert!(
            template.contains(&format!("K:4{na}")) && template.contains(&format!("Br:4{cl}")),
            "{template}"
        );
        // The next one is the flow's.
        assert!(!draw(&asked, 1).properties.contains_key("parent"));
    }
}

/// With a writer there are templates that no known crystal becomes: each has the composition, the likeliest come first, none
/// comes twice.
#[test]
fn templates_are_written_for_a_composition() {
    let crystals: Vec<Structure> = ["quartz", "NaCl", "KNbO3", "CsCl"].map(prototype).into();
    let writer = WriterConfig { width: 16, ..WriterConfig::default() };
    let mut model = model(OrbitConfig { writer, ..tiny() });
    model.fit_statistics(&crystals.iter().collect::<Vec<_>>()).unwrap();
    let params = Params::init(model.parameters(), 3, &cpu());
    let formula = "Ca2Si2";
    let wanted = Composition::parse(formula).unwrap();
    let requests: Vec<SampleRequest> = (0..12)
        .map(|nth| SampleRequest { nth, ..SampleRequest::new(Conditions::from(wanted.clone()), 1, nth) })
        .collect();
    let drawn: Vec<Structure> =
        sample_all(&model, &params, &requests).unwrap().into_iter().map(Result::unwrap).collect();
    let likely: Vec<f64> = drawn.iter().map(|s| s.properties["log_probability"].as_f64().unwrap()).collect();
    assert!(likely[..5].is_sorted_by(|a, b| a >= b) && likely[0] < 0.0, "{likely:?}");
    let templates: std::collections::HashSet<&str> =
        drawn.iter().map(|s| s.properties["template"].as_str().unwrap()).collect();
    assert_eq!(templates.len(), drawn.len());
    for s in &drawn {
        assert_eq!(Composition::from_species(&s.species), wanted);
    }
    // In a space group that is asked for.
    let asked = Conditions::from(wanted.clone()).and_space_group(123);
    let requests: Vec<SampleRequest> =
        (0..3).map(|nth| SampleRequest { nth, ..SampleRequest::new(asked.clone(), 1, nth) }).collect();
    for s in sample_all(&model, &params, &requests).unwrap() {
        let template = s.unwrap().properties["template"].as_str().unwrap().to_owned();
        assert!(template.starts_with("123 "), "{template}");
    }
}

/// Crystals with free coordinates, and the same ones from their space group and Wyckoff positions alone.
#[test]
fn a_few_crystals_can_be_learned() {
    let crystals: Vec<Structure> = ["quartz", "NaCl", "KNbO3", "CsCl"].map(prototype).into();
    let training: Vec<&Structure> = crystals.iter().collect();
    // Drawn by the flow, not taken from the known crystals.
    let sampling = OrbitSampling { begin: Begin::Anywhere, ..OrbitSampling::default() };
    let mut model = model(tiny()).with_sampling(&sampling).unwrap();
    model.fit_statistics(&training).unwrap();
    let mut params = Params::init(model.parameters(), 3, &cpu());
    let mut adam = Adam::new(&params, AdamConfig::default());
    let loss = |params: &Params| {
        (900..908).map(|e| evaluate(&model, params, &training, &keys(4, e)).unwrap().total).sum::<f64>() / 8.0
    };
    let before = loss(&params);
    for epoch in 0..300 {
        let mut gradient = differentiate(&model, &params, &training, &keys(4, epoch)).unwrap();
        gradient.clip(1.0);
        adam.step(&mut params, &gradient.grads, 3e-3);
    }
    let after = loss(&params);
    assert!(after < 0.3 * before, "{before} {after}");
    for (i, s) in crystals.iter().enumerate() {
        let conditions = model.sites_like(s).unwrap();
        let request = SampleRequest::new(conditions, 1, i as u64);
        let drawn = sample_all(&model, &params, &[request]).unwrap().remove(0).unwrap();
        let wanted = SymmetricStructure::from_structure(s, 0.01).unwrap();
        let found = analyze(&drawn, 0.01).unwrap();
        assert!(wanted.group().is_contained_in(&found.operations) || found.number == wanted.group().number());
        let volume = |s: &Structure| s.lattice.volume() / s.len() as f64;
        assert!((volume(&drawn) / volume(s) - 1.0).abs() < 0.15, "{} {}", volume(&drawn), volume(s));
    }
}
