//! Reconstruction, uniqueness and novelty on sets whose metrics can be counted by hand.

use druse_crystal::{Element, Lattice, Structure};
use druse_data::{Cache, LoadOptions, load};
use druse_metrics::{
    matcher::{Criterion, Outcome, PreparedStructure, StructureMatcher},
    novelty::{NoveltyRows, components, novelty, training_matches},
    reconstruction::{MatchRate, match_everyone, reconstruct},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const DEFAULT: StructureMatcher =
    StructureMatcher { ltol: 0.2, stol: 0.3, angle_tol: 5.0, primitive: true, scale: true };

/// A cubic perovskite (3.905 Å) with one oxygen displaced by `d` Å.
fn perovskite(a: &str, d: f64) -> Structure {
    let edge = 3.905;
    let element = |s| Element::from_symbol(s).unwrap();
    Structure::new(
        Lattice::cubic(edge).unwrap(),
        [a, "Ti", "O", "O", "O"].map(element).to_vec(),
        vec![[0.0; 3], [0.5; 3], [0.5, 0.5, d / edge], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]],
    )
    .unwrap()
}

/// RMS distance between perovskites whose displacements differ by `d`: one of five atoms moves, less the mean.
fn distance(d: f64) -> f64 {
    0.4 * d / (3.905 / 5f64.cbrt())
}

/// A cell whose reduction fails.
fn unreadable() -> Structure {
    let lattice = Lattice::from_rows([[1.0, 0.0, 0.0], [3e9, 1.0, 0.0], [0.0, 0.0, 1.0]]).unwrap();
    Structure::new(lattice, vec![Element::from_z(6).unwrap()], vec![[0.0; 3]]).unwrap()
}

fn prepare(all: &[Structure]) -> Vec<PreparedStructure> {
    all.iter().map(|s| DEFAULT.prepare(s)).collect()
}

fn close(got: Option<f64>, want: f64) {
    assert!((got.unwrap() - want).abs() < 1e-9, "{got:?} against {want}");
}

#[test]
fn reconstruction_counts_over_all_references() {
    let references =
        [perovskite("Sr", 0.0), perovskite("Ba", 0.0), perovskite("Ca", 0.0), perovskite("Pb", 0.0)];
    let near: Vec<Structure> = ["Sr", "Ba", "Ca"].map(|a| perovskite(a, 0.2)).to_vec();
    let nearer: Vec<Structure> = ["Sr", "Ba", "Ca"].map(|a| perovskite(a, 0.05)).to_vec();
    let m = StructureMatcher::CDVAE;
    let candidates = vec![
        vec![Some(&near[0]), Some(&nearer[0])],
        // The wrong composition first, then the right one.
        vec![Some(&near[0]), Some(&near[1])],
        // A prediction that is not valid, and nothing else; and no prediction at all.
        vec![None, None],
    ];
    let result = reconstruct(&m, &references.each_ref(), &candidates);
    assert_eq!(result.max_candidates(), 2);
    let one = result.at(1);
    assert_eq!((one.references, one.matched), (4, 1));
    close(one.rate, 0.25);
    close(one.rmse, distance(0.2));
    close(one.crmse, (distance(0.2) + 3.0 * 0.5) / 4.0);
    let two = result.at(2);
    close(two.rate, 0.5);
    close(two.rmse, (distance(0.05) + distance(0.2)) / 2.0);
    assert_eq!(result.at(0).matched, 0);
    assert_eq!(result.at(0).rmse, None);

    // For the whole set it does not matter for which reference a structure was generated.
    let generated: Vec<PreparedStructure> = [&near[2], &nearer[0], &near[0]].map(|s| m.prepare(s)).to_vec();
    let prepared: Vec<PreparedStructure> = references.iter().map(|s| m.prepare(s)).collect();
    let coverage = match_everyone(&m, &prepared, &generated);
    assert_eq!((coverage.rate.references, coverage.rate.matched), (4, 2));
    assert_eq!(
        coverage.closest.iter().map(|c| c.map(|c| c.0)).collect::<Vec<_>>(),
        [Some(1), None, Some(0), None]
    );
    close(coverage.rate.crmse, (distance(0.05) + distance(0.2) + 2.0 * 0.5) / 4.0);

    let empty = MatchRate::new([], 0.5);
    assert_eq!((empty.rate, empty.rmse, empty.crmse), (None, None, None));
}

#[test]
fn a_chain_of_matches_is_one_component_in_any_order() {
    // Neighbors in the chain match, its ends do not.
    let chain = [0.0, 0.6, 1.2].map(|d| perovskite("Sr", d));
    let p = prepare(&chain);
    assert!(DEFAULT.fit(&p[0], &p[1]) && DEFAULT.fit(&p[1], &p[2]));
    assert!(!DEFAULT.fit(&p[0], &p[2]) && !DEFAULT.fit(&p[2], &p[0]));

    let all =
        [perovskite("Ba", 0.0), chain[0].clone(), chain[1].clone(), chain[2].clone(), perovskite("Ba", 0.1)];
    let orders = [[0, 1, 2, 3, 4], [4, 3, 1, 0, 2], [1, 3, 2, 4, 0]];
    let mut greedy = Vec::new();
    for order in orders {
        let set = prepare(&order.map(|i| all[i].clone()));
        let (component, unfinished) = components(&DEFAULT, &set);
        assert!(unfinished.is_empty());
        let barium: Vec<_> =
            (0..5).filter(|&k| order[k] == 0 || order[k] == 4).map(|k| component[k]).collect();
        let strontium: Vec<_> =
            (0..5).filter(|&k| (1..4).contains(&order[k])).map(|k| component[k]).collect();
        assert!(barium.windows(2).all(|w| w[0] == w[1]) && strontium.windows(2).all(|w| w[0] == w[1]));
        assert_eq!(component[0], Some(0));
        assert_eq!(component.iter().flatten().max(), Some(&1));
        greedy.push(DEFAULT.group(&set).into_iter().max());
    }
    // Greedy groups do depend on it.
    assert!(greedy.contains(&Some(2)), "{greedy:?}");
}

#[test]
fn fractions_are_over_all_generated_structures() {
    let generated = [
        perovskite("Sr", 0.0),
        perovskite("Sr", 0.1),
        perovskite("Ba", 0.0),
        perovskite("Ca", 0.0),
        unreadable(),
        perovskite("Ca", 0.05),
    ];
    let training =
        [perovskite("Pb", 0.0), perovskite("Sr", 1.2), perovskite("Ca", 0.02), perovskite("Ca", 0.0)];
    let n = novelty(&DEFAULT, &prepare(&generated), Some(&prepare(&training)));
    assert_eq!(n.component, [Some(0), Some(0), Some(1), Some(2), None, Some(2)]);
    assert_eq!(n.training_match, Some(vec![None, None, None, Some(2), None, Some(2)]));
    assert_eq!((n.num_components(), n.novel_components()), (3, Some(vec![true, true, false])));
    assert!(n.unfinished.is_empty());
    // One more row gave no structure, and the structures of the second component are invalid.
    let mut invalid = vec![None; 7];
    invalid[4] = Some("too close".to_owned());
    let rows =
        NoveltyRows { invalid: &invalid, compared: &[0, 1, 4, 2, 5, 6], training: Some(training.len()) };
    let metrics = n.metrics(&DEFAULT, rows, None);
    let got: Vec<_> = metrics.iter().map(|m| (m.key.as_str(), m.value, m.of, m.against)).collect();
    let of = |n: f64| Some(n / 7.0);
    assert_eq!(
        got,
        [
            ("unique", of(3.0), 7, None),
            ("novel", of(3.0), 7, Some(4)),
            ("unique_novel", of(2.0), 7, Some(4)),
            ("valid_unique_novel", of(1.0), 7, Some(4)),
        ]
    );
    let alone = novelty(&DEFAULT, &prepare(&generated), None);
    assert_eq!(alone.metrics(&DEFAULT, NoveltyRows { training: None, ..rows }, None), metrics[..1]);

    let none = novelty(&DEFAULT, &[], Some(&prepare(&training)));
    let rows = NoveltyRows { invalid: &[], compared: &[], training: Some(4) };
    assert!(none.metrics(&DEFAULT, rows, None).iter().all(|m| m.value.is_none()));
    assert_eq!(training_matches(&DEFAULT, &prepare(&generated), &[]).0, [None; 6]);
}

#[test]
fn threads_do_not_change_the_result() {
    let set = |seed: usize| -> Vec<Structure> {
        let names = ["Sr", "Ba", "Ca"];
        (0..60).map(|i| perovskite(names[(i * seed) % 3], ((i * 37 * seed) % 100) as f64 * 0.019)).collect()
    };
    let (generated, training) = (prepare(&set(1)), prepare(&set(5)));
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| novelty(&DEFAULT, &generated, Some(&training)))
    };
    assert_eq!(with(1), with(4));
}

/// Components and matches by comparing all pairs, as the definition says.
fn plainly(
    m: &StructureMatcher,
    all: &[PreparedStructure],
    known: &[PreparedStructure],
) -> (Vec<Option<usize>>, Vec<Option<usize>>) {
    let one_way = |a: &PreparedStructure, b: &PreparedStructure| match m.compare(a, b, Criterion::Max) {
        Outcome::Match(_) => true,
        Outcome::Different => false,
        Outcome::Unfinished(_) => panic!("a search was given up"),
    };
    let same = |a: &PreparedStructure, b: &PreparedStructure| one_way(a, b) || one_way(b, a);
    let mut label: Vec<usize> = (0..all.len()).collect();
    for i in 0..all.len() {
        for j in 0..i {
            if label[i] != label[j] && same(&all[i], &all[j]) {
                let (low, high) = (label[i].min(label[j]), label[i].max(label[j]));
                label.iter_mut().filter(|l| **l == high).for_each(|l| *l = low);
            }
        }
    }
    let mut numbers = Vec::new();
    let mut number = |l: usize| {
        numbers.iter().position(|&n| n == l).unwrap_or_else(|| {
            numbers.push(l);
            numbers.len() - 1
        })
    };
    let components = all.iter().zip(&label).map(|(s, &l)| s.error().is_none().then(|| number(l))).collect();
    let matches = all.iter().map(|a| known.iter().position(|b| same(a, b))).collect();
    (components, matches)
}

fn assert_index_changes_nothing(structures: &[Structure], known: &[Structure]) {
    for m in [DEFAULT, StructureMatcher { scale: false, ..DEFAULT }, StructureMatcher::CDVAE] {
        let prepare = |all: &[Structure]| all.iter().map(|s| m.prepare(s)).collect::<Vec<_>>();
        let (all, known) = (prepare(structures), prepare(known));
        let (want_components, want_matches) = plainly(&m, &all, &known);
        assert_eq!(components(&m, &all), (want_components, vec![]), "{m}");
        assert_eq!(training_matches(&m, &all, &known), (want_matches, vec![]), "{m}");
    }
}

/// The structure with its cell strained and its sites moved by random amounts of this size.
fn perturbed(s: &Structure, size: f64, rng: &mut ChaCha8Rng) -> Structure {
    let mut random = || rng.random_range(-size..=size);
    let rows = s.lattice.rows();
    let strain: [[f64; 3]; 3] = std::array::from_fn(|_| std::array::from_fn(|_| random()));
    let strained = std::array::from_fn(|i| {
        std::array::from_fn(|k| rows[i][k] + (0..3).map(|m| rows[i][m] * strain[m][k]).sum::<f64>())
    });
    let coords = s.frac_coords.iter().map(|f| f.map(|x| x + random())).collect();
    Structure::new(Lattice::from_rows(strained).unwrap(), s.species.clone(), coords).unwrap()
}

/// Each structure as it is, twice, and with small and large changes.
fn family(structures: &[Structure], seed: u64) -> Vec<Structure> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut all = Vec::new();
    for s in structures {
        all.extend([s.clone(), s.clone()]);
        all.extend([0.001, 0.03, 0.1].map(|size| perturbed(s, size, &mut rng)));
    }
    all
}

#[test]
fn the_index_changes_no_result() {
    let structures: Vec<Structure> = druse_testkit::prototypes().into_iter().map(|(_, s)| s).collect();
    assert_index_changes_nothing(&family(&structures, 1), &family(&structures, 2));
}

#[test]
fn the_index_changes_no_result_on_reference_sets() {
    let Some(shared) = druse_testkit::shared_dir() else { return };
    let options = LoadOptions { cache: Cache::Off, ..LoadOptions::default() };
    // One bucket of many cells, and many of few.
    for (name, count) in [("carbon_24", 40), ("mp_20_bt", 150), ("mpts_52", 40)] {
        let data = load(&shared.join("data").join(name).join("val.csv.gz"), &options).unwrap();
        let structures: Vec<Structure> =
            data.structures().filter(|s| s.len() <= 20).take(count).cloned().collect();
        let (generated, known) = (family(&structures[..count / 2], 1), structures);
        assert_index_changes_nothing(&generated, &known);
    }
}
