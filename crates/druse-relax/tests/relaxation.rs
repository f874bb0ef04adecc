//! Relaxations of crystals whose end is known.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use druse_crystal::{Lattice, Structure, symmetry};
use druse_relax::pair::{Buckingham, LennardJones, Morse, PairPotential};
use druse_relax::{
    CellFilter, CellMode, End, Evaluation, Flight, LbfgsSettings, Optimizer, Potential, PotentialError,
    RelaxSettings, Relaxation, Relaxed, relax, relax_many,
};
use druse_testkit::prototypes::{crystal, element, fcc, quartz, structure};
use nalgebra::Matrix3;
use proptest::prelude::*;

const SIGMA: f64 = 3.4;
const EPSILON: f64 = 0.0103;

fn argon(cutoff: f64) -> PairPotential {
    let ar = element("Ar");
    PairPotential::new("argon", cutoff).with(ar, ar, LennardJones { epsilon: EPSILON, sigma: SIGMA })
}

fn silica() -> PairPotential {
    let [si, o] = ["Si", "O"].map(element);
    PairPotential::new("silica", 5.0)
        .with(si, o, Morse { depth: 1.2, alpha: 1.8, distance: 1.65 })
        .with(o, o, LennardJones { epsilon: 0.01, sigma: 2.4 })
        .with(si, si, LennardJones { epsilon: 0.02, sigma: 2.8 })
}

fn lbfgs() -> Optimizer {
    Optimizer::Lbfgs(LbfgsSettings { curvature: 20.0, ..LbfgsSettings::default() })
}

/// Numbers in [-1, 1] without pattern.
fn noise(i: usize) -> f64 {
    (i as f64 * 12.9898 + 1.0).sin() * 43_758.545 % 1.0
}

fn disturbed(start: &Structure, displacement: f64, strain: f64, seed: usize) -> Structure {
    let mut new = start.clone();
    let m = Matrix3::from_fn(|i, j| f64::from(i == j) + strain * noise(1000 * seed + 3 * i + j));
    new.lattice = Lattice::from_matrix(start.lattice.matrix() * m).unwrap();
    for (i, f) in new.frac_coords.iter_mut().enumerate() {
        let d: [f64; 3] = std::array::from_fn(|c| displacement * noise(1000 * seed + 100 + 3 * i + c));
        let d = new.lattice.to_fractional(d);
        *f = std::array::from_fn(|c| druse_crystal::wrap_unit(f[c] + d[c]));
    }
    new
}

fn evaluated(potential: &dyn Potential, crystal: &Structure) -> Evaluation {
    potential.evaluate(std::slice::from_ref(crystal)).remove(0).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Generalized forces are minus the derivatives of energy (enthalpy) along every coordinate, far from the start, too.
    #[test]
    fn generalized_forces_are_derivatives(
        path in prop::collection::vec(-0.3..0.3f64, 36),
        pressure in -20.0..20.0f64,
        mode in prop::sample::select(vec![CellMode::Fixed, CellMode::Shape, CellMode::Volume, CellMode::Full]),
    ) {
        let (start, potential) = (quartz(), silica());
        let mut filter = CellFilter::new(start.clone(), mode, pressure);
        let rows = filter.rows();
        prop_assert_eq!(rows, if mode == CellMode::Fixed { 9 } else { 12 });
        // Coordinates that the mode allows: the cell's rows stay traceless, or a multiple of the identity.
        let allowed = |mut rows: Vec<[f64; 3]>| {
            if let [a, b, c] = &mut rows[9..] {
                let mean = (a[0] + b[1] + c[2]) / 3.0;
                match mode {
                    CellMode::Shape => (a[0], b[1], c[2]) = (a[0] - mean, b[1] - mean, c[2] - mean),
                    CellMode::Volume => (*a, *b, *c) = ([mean, 0.0, 0.0], [0.0, mean, 0.0], [0.0, 0.0, mean]),
                    _ => {}
                }
            }
            rows
        };
        let move_by: Vec<[f64; 3]> = (0..rows)
            .map(|i| {
                let size = if i < 9 { 0.2 } else { 3.0 };
                [0, 1, 2].map(|c| size * path[3 * i + c])
            })
            .collect();
        filter.advance(&allowed(move_by));
        let value = |filter: &CellFilter| {
            let crystal = filter.structure().unwrap();
            filter.value(&evaluated(&potential, &crystal), crystal.lattice.volume())
        };
        let here = filter.structure().unwrap();
        let forces = filter.forces(&evaluated(&potential, &here), here.lattice.volume());
        let scale = forces.iter().flatten().fold(1.0f64, |a, x| a.max(x.abs()));
        for k in 0..4 {
            let direction = allowed((0..rows).map(|i| std::array::from_fn(|c| noise(97 * k + 3 * i + c))).collect());
            let along = |h: f64| {
                let mut moved = filter.clone();
                moved.advance(&direction.iter().map(|row| row.map(|x| h * x)).collect::<Vec<_>>());
                value(&moved)
            };
            let h = 1e-5;
            let slope = (along(h) - along(-h)) / (2.0 * h);
            let expected: f64 = -forces.iter().flatten().zip(direction.iter().flatten()).map(|(f, d)| f * d).sum::<f64>();
            prop_assert!((slope - expected).abs() < 1e-6 * scale, "{} against {}", slope, expected);
        }
        let change = here.lattice.volume() / start.lattice.volume() - 1.0;
        match mode {
            CellMode::Fixed | CellMode::Shape => prop_assert!(change.abs() < 1e-12),
            CellMode::Volume => {
                let (a, b) = (here.lattice.angles(), start.lattice.angles());
                prop_assert!((0..3).all(|i| (a[i] - b[i]).abs() < 1e-10));
            }
            CellMode::Full => {}
        }
    }
}

#[test]
fn argon_becomes_the_crystals_of_the_textbook() {
    // Sums over all neighbors: nearest distance (2 A₁₂/A₆)^(1/6) σ, energy −A₆²/(2 A₁₂) ε, with the lattice sums A₁₂, A₆ = 12.13188,
    // 14.45392 (fcc), 12.13229, 14.45489 (hcp).
    let potential = argon(9.0 * SIGMA);
    let tight = RelaxSettings { fmax: 1e-4, ..RelaxSettings::default() };
    let a = 3.9;
    let cubic = structure(fcc(a * 2f64.sqrt()), &[("Ar", [0.0; 3])]);
    let t = 1.0 / 3.0;
    let hexagonal = crystal(
        [a, a, 1.6 * a, 90.0, 90.0, 120.0],
        &[("Ar", [t, 2.0 * t, 0.25]), ("Ar", [2.0 * t, t, 0.75])],
    );
    for (start, twelve, six) in [(cubic, 12.131_88f64, 14.453_92f64), (hexagonal, 12.132_29, 14.454_89)] {
        for optimizer in [Optimizer::default(), lbfgs()] {
            let settings = RelaxSettings { optimizer, ..tight.clone() };
            let relaxed = relax(&potential, start.clone(), &settings);
            assert_eq!(relaxed.end, End::Converged, "{optimizer:?}");
            let figures = relaxed.figures.unwrap();
            let distance = (2.0 * twelve / six).powf(1.0 / 6.0) * SIGMA;
            let volume = distance.powi(3) / 2f64.sqrt() * figures.atoms as f64;
            assert!((figures.volume / volume - 1.0).abs() < 3e-3, "{} against {volume}", figures.volume);
            let energy = -six * six / (2.0 * twelve) * EPSILON;
            assert!((figures.energy_per_atom() / energy - 1.0).abs() < 1e-2, "{}", figures.energy_per_atom());
            assert!(figures.fmax < 1e-4 && figures.volume < figures.start_volume * 0.96);
            assert!(figures.displacement.max < 1e-6, "sites on special positions stay");
            assert!(figures.internal_pressure().abs() < 0.01);
        }
    }
}

#[test]
fn both_optimizers_find_the_same_crystal_and_report_it_rightly() {
    let still = RelaxSettings { optimizer: lbfgs(), fmax: 1e-3, steps: 2000, ..RelaxSettings::default() };
    let start = disturbed(&relax(&silica(), quartz(), &still).structure, 0.05, 0.01, 1);
    let find = |optimizer| {
        let settings = RelaxSettings {
            optimizer,
            fmax: 1e-4,
            steps: 2000,
            trajectory: true,
            ..RelaxSettings::default()
        };
        relax(&silica(), start.clone(), &settings)
    };
    let [fire, quick] = [Optimizer::default(), lbfgs()].map(find);
    for relaxed in [&fire, &quick] {
        assert_eq!(relaxed.end, End::Converged);
        let figures = relaxed.figures.as_ref().unwrap();
        let again = evaluated(&silica(), &relaxed.structure);
        assert_eq!(figures.energy, again.energy);
        assert_eq!(figures.start_energy, evaluated(&silica(), &start).energy);
        // The generalized force of an atom is its force seen from the start's frame.
        assert!(figures.energy < figures.start_energy && figures.max_force < 1.5 * figures.fmax);
        assert_eq!(figures.volume, relaxed.structure.lattice.volume());
        assert!((figures.volume_change() - (figures.volume / start.lattice.volume() - 1.0)).abs() < 1e-12);
        assert!(figures.displacement.rms > 0.01 && figures.displacement.max >= figures.displacement.rms);
        assert_eq!(relaxed.trajectory.len(), relaxed.steps + 1);
        assert_eq!(relaxed.trajectory.last().unwrap().structure, relaxed.structure);
        assert_eq!(relaxed.trajectory[0].structure.lattice, start.lattice);
    }
    let energy = |r: &Relaxed| r.figures.as_ref().unwrap().energy_per_atom();
    assert!((energy(&fire) - energy(&quick)).abs() < 1e-5, "{} {}", energy(&fire), energy(&quick));
    assert!(quick.steps * 2 < fire.steps, "{} and {} steps", quick.steps, fire.steps);
}

#[test]
fn pressure_compresses_until_it_is_balanced() {
    let potential = argon(12.0);
    let start = structure(fcc(5.3), &[("Ar", [0.0; 3])]);
    let at = |pressure: f64| {
        let settings = RelaxSettings { pressure, fmax: 1e-5, ..RelaxSettings::default() };
        let relaxed = relax(&potential, start.clone(), &settings);
        assert_eq!(relaxed.end, End::Converged);
        relaxed.figures.unwrap()
    };
    let (loose, tight) = (at(0.0), at(2.0));
    assert!(tight.volume < 0.85 * loose.volume, "{} {}", tight.volume, loose.volume);
    assert!((tight.internal_pressure() - 2.0).abs() < 1e-3, "{}", tight.internal_pressure());
}

#[test]
fn the_space_group_is_kept_where_that_is_asked_for() {
    // A crystal at which forces vanish by symmetry alone: simple cubic argon is a saddle, and shear leads down.
    let start = structure(Lattice::cubic(3.6).unwrap(), &[("Ar", [0.0; 3])]);
    let potential = argon(9.0);
    let sheared = disturbed(&start, 0.0, 2e-3, 3);
    let settings = RelaxSettings { fmax: 1e-5, steps: 2000, optimizer: lbfgs(), ..RelaxSettings::default() };
    let free = relax(&potential, sheared.clone(), &settings);
    let keep = RelaxSettings { symprec: Some(0.05), ..settings };
    let kept = relax(&potential, sheared, &keep);
    assert_eq!((kept.end.clone(), kept.space_group), (End::Converged, Some(221)));
    assert_eq!(symmetry::analyze(&kept.structure, 1e-6).unwrap().number, 221);
    assert_ne!(symmetry::analyze(&free.structure, 1e-2).unwrap().number, 221);
    let energy = |r: &Relaxed| r.figures.as_ref().unwrap().energy;
    assert!(energy(&free) < energy(&kept) - 1e-3);
    // Quartz keeps its group under either optimizer, from a start that has it only nearly.
    for optimizer in [Optimizer::default(), lbfgs()] {
        let settings =
            RelaxSettings { symprec: Some(0.1), optimizer, fmax: 1e-3, ..RelaxSettings::default() };
        let relaxed = relax(&silica(), disturbed(&quartz(), 0.02, 0.005, 2), &settings);
        assert_eq!(relaxed.end, End::Converged);
        assert_eq!(symmetry::analyze(&relaxed.structure, 1e-6).unwrap().number, 154);
    }
    // Two atoms within the tolerance: no group, a reason.
    let settings = RelaxSettings { symprec: Some(0.01), min_distance: 0.0, ..RelaxSettings::default() };
    let mut broken = quartz();
    broken.frac_coords[1] = broken.frac_coords[0];
    assert!(matches!(relax(&silica(), broken, &settings).end, End::Symmetry(_)));
}

#[test]
fn crystals_that_come_to_nothing_say_why() {
    let cell = RelaxSettings { steps: 5000, ..RelaxSettings::default() };
    // Repulsion alone: the crystal comes apart.
    let ar = element("Ar");
    let repulsive =
        PairPotential::new("gas", 8.0).with(ar, ar, Morse { depth: -3.0, alpha: 0.3, distance: 2.0 });
    let start = structure(fcc(5.0), &[("Ar", [0.0; 3])]);
    let apart = relax(&repulsive, start.clone(), &cell);
    assert!(matches!(apart.end, End::Exploded(factor) if factor > 4.0), "{:?}", apart.end);
    let figures = apart.figures.unwrap();
    assert!(figures.volume <= 4.0 * figures.start_volume && figures.volume > 2.0 * figures.start_volume);
    // Attraction alone: the cell vanishes, or atoms meet.
    let attractive = PairPotential::new("hole", 8.0).with(ar, ar, Buckingham { a: 0.0, rho: 0.3, c: 4000.0 });
    let inward = relax(&attractive, start.clone(), &cell);
    assert!(matches!(inward.end, End::Collapsed(_)), "{:?}", inward.end);
    let pair = structure(Lattice::cubic(9.0).unwrap(), &[("Ar", [0.0; 3]), ("Ar", [0.2, 0.1, 0.0])]);
    let fixed = RelaxSettings { cell: CellMode::Fixed, ..cell.clone() };
    assert!(matches!(relax(&attractive, pair, &fixed).end, End::Overlap { .. }));
    // Atoms that overlap to begin with are not even evaluated.
    let twins = structure(Lattice::cubic(5.0).unwrap(), &[("Ar", [0.0; 3]), ("Ar", [0.02, 0.0, 0.0])]);
    let ended = relax(&argon(8.0), twins.clone(), &cell);
    assert!(
        matches!(ended.end, End::Overlap { first: 0, second: 1, distance } if (distance - 0.1).abs() < 1e-9)
    );
    assert_eq!((ended.steps, ended.figures, ended.structure), (0, None, twins));
    // So are cells with an edge of next to nothing.
    let flat = structure(
        Lattice::from_rows([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 1e-3]]).unwrap(),
        &[("Ar", [0.0; 3])],
    );
    assert!(matches!(relax(&argon(8.0), flat, &cell).end, End::Overlap { .. } | End::Collapsed(_)));
    let iron = structure(fcc(5.0), &[("Fe", [0.0; 3])]);
    let unknown = relax(&argon(8.0), iron, &cell);
    assert_eq!(unknown.end.name(), "unknown_element");
    assert!(unknown.end.to_string().contains("Fe"), "{}", unknown.end);
    let short = relax(&argon(8.0), start, &RelaxSettings { steps: 3, fmax: 1e-6, ..cell });
    assert_eq!((short.end, short.steps), (End::StepLimit(3), 3));
}

/// Gives no number after some evaluations, or forces that are no slope.
struct Broken {
    inner: PairPotential,
    nan: bool,
}

impl Potential for Broken {
    fn name(&self) -> &str {
        "broken"
    }
    fn cutoff(&self) -> f64 {
        self.inner.cutoff()
    }
    fn knows(&self, element: druse_crystal::Element) -> bool {
        self.inner.knows(element)
    }
    fn evaluate(&self, crystals: &[Structure]) -> Vec<Result<Evaluation, PotentialError>> {
        let mut all = self.inner.evaluate(crystals);
        for evaluation in all.iter_mut().flatten() {
            if self.nan {
                evaluation.stress[1][2] = f64::NAN;
            } else {
                evaluation.stress.iter_mut().flatten().for_each(|x| *x = -*x);
            }
        }
        all
    }
}

#[test]
fn wrong_potentials_do_not_run_forever() {
    let start = structure(fcc(5.0), &[("Ar", [0.0; 3])]);
    let ended = relax(&Broken { inner: argon(8.0), nan: true }, start.clone(), &RelaxSettings::default());
    assert_eq!(ended.end, End::NotFinite("stress"));
    let settings = RelaxSettings { optimizer: lbfgs(), fmax: 1e-3, ..RelaxSettings::default() };
    let ended = relax(&Broken { inner: argon(8.0), nan: false }, start, &settings);
    assert_eq!(ended.end, End::Stalled);
}

#[test]
fn what_becomes_of_a_crystal_depends_on_it_alone() {
    let starts: Vec<Structure> = (0..12).map(|i| disturbed(&quartz(), 0.12, 0.03, i)).collect();
    let settings = RelaxSettings { steps: 60, trajectory: true, ..RelaxSettings::default() };
    let alone: BTreeMap<u64, Relaxed> =
        (0..).zip(&starts).map(|(i, s)| (i, relax(&silica(), s.clone(), &settings))).collect();
    for (threads, per_worker, workers) in [(1, 1, 1), (1, 12, 1), (3, 4, 2), (2, 1, 8)] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut found = BTreeMap::new();
        let indexed = (0..starts.len()).rev().map(|i| (i as u64, starts[i].clone()));
        let complete = pool.install(|| {
            let mut sink = |index: u64, relaxed: Relaxed| {
                found.insert(index, relaxed);
                ControlFlow::Continue(())
            };
            let never = AtomicBool::new(false);
            relax_many(&silica(), indexed, &settings, Flight { workers, per_worker }, &mut sink, &never)
        });
        assert!(complete);
        assert_eq!(found, alone, "{threads} threads, {per_worker} a worker");
    }
}

#[test]
fn a_flight_that_is_stopped_says_so() {
    let starts = || (0..6).map(|i| (i, disturbed(&quartz(), 0.1, 0.02, i as usize)));
    let settings = RelaxSettings { steps: 20, ..RelaxSettings::default() };
    let mut put = 0;
    let mut sink = |_: u64, _: Relaxed| {
        put += 1;
        if put == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let flight = Flight { workers: 1, per_worker: 1 };
    let never = AtomicBool::new(false);
    assert!(!relax_many(&silica(), starts(), &settings, flight, &mut sink, &never));
    assert_eq!(put, 2);
    let mut none = |_: u64, _: Relaxed| -> ControlFlow<()> { panic!("nothing has ended") };
    assert!(!relax_many(&silica(), starts(), &settings, flight, &mut none, &AtomicBool::new(true)));
    // Nothing to do, nothing missed.
    assert!(relax_many(&silica(), [], &settings, flight, &mut none, &AtomicBool::new(true)));
}

#[test]
fn a_relaxation_that_has_ended_stays_so() {
    let start = structure(fcc(5.0), &[("Ar", [0.0; 3])]);
    let mut relaxation = Relaxation::new(start, &RelaxSettings { steps: 0, ..RelaxSettings::default() });
    let crystal = relaxation.structure().unwrap().clone();
    let evaluation = argon(8.0).evaluate(&[crystal]).remove(0);
    assert_eq!(relaxation.advance(evaluation.clone()), Some(&End::StepLimit(0)));
    assert_eq!(relaxation.structure(), None);
    assert_eq!(relaxation.advance(evaluation), Some(&End::StepLimit(0)));
    assert!(relaxation.fmax().unwrap() > 0.0);
    assert_eq!((relaxation.steps(), relaxation.finish().steps), (0, 0));
}
