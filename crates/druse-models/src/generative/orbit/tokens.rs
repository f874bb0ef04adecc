//! What the network reads: a token for each distinct site and one for the cell of each crystal, and the pairs of them.

use burn::tensor::{Device, Tensor};
use druse_crystal::{Centring, Element, LatticeSystem, SpaceGroup, Template, WyckoffPosition};
use druse_nn::graph::Index;
use druse_nn::ops::{TokenSets, matrix};
use nalgebra::Vector3;

use super::cell;
use super::config::NetworkConfig;
use super::pairs::Pairs;

/// Harmonics of each absolute fractional coordinate.
const HARMONICS: usize = 8;
/// Kinds of rotations: 1, 2, 3, 4, 6 and the same with inversion.
const ROTATIONS: usize = 10;
/// Numbers of an element.
const ELEMENT: usize = 4 + 7 + 18;
/// Numbers of a Wyckoff position: multiplicity, freedom, rotations, projector.
const POSITION: usize = 1 + 4 + ROTATIONS + 9;
/// Numbers of a site that change along the path: its coordinates, an earlier prediction, the way to the known crystal.
const MOVING: usize = 6 * HARMONICS + 3 + 3;
/// Numbers of a crystal: its cell, which numbers of it are free, an earlier prediction and whether there is one, atoms, group, the
/// cell of the known crystal.
const CRYSTAL: usize = 4 * cell::COORDINATES + 2 + ROTATIONS + 6 + 6;
/// Frequencies of the time.
const TIMES: usize = 8;

/// Columns of a token: whether it is the cell's, numbers of a site, numbers of its crystal, numbers of what was on the site.
pub(super) const TOKEN: usize = 1 + ELEMENT + POSITION + MOVING + CRYSTAL + ELEMENT;
/// Columns of the time.
pub(super) const TIME: usize = 1 + 2 * TIMES;

/// What does not change along the path of a crystal.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub group: &'static SpaceGroup,
    pub positions: Vec<&'static WyckoffPosition>,
    pub elements: Vec<Element>,
    /// Numbers of each site.
    sites: Vec<[f32; ELEMENT + POSITION]>,
    /// Rotations of the point group, centring, lattice system.
    crystal: [f32; ROTATIONS + 12],
}

impl Frame {
    pub fn new(template: &Template) -> Self {
        let group = template.group();
        let positions: Vec<_> = template.positions().collect();
        let elements: Vec<Element> = template.sites().iter().map(|site| site.0).collect();
        let sites = elements.iter().zip(&positions).map(|(&e, w)| {
            let mut numbers = [0.0; ELEMENT + POSITION];
            numbers[..ELEMENT].copy_from_slice(&of_element(e));
            numbers[ELEMENT..].copy_from_slice(&of_position(group, w));
            numbers
        });
        let sites = sites.collect();
        let mut crystal = [0.0; ROTATIONS + 12];
        crystal[..ROTATIONS].copy_from_slice(&rotations(group, 0..group.order()));
        let centring = match group.centring() {
            Centring::P => 0,
            Centring::I => 1,
            Centring::F => 2,
            Centring::R => 3,
            Centring::A => 4,
            Centring::C => 5,
        };
        crystal[ROTATIONS + centring] = 1.0;
        let system = LatticeSystem::ALL.iter().position(|&s| s == group.lattice_system());
        crystal[ROTATIONS + 6 + system.unwrap_or(0)] = 1.0;
        Self { group, positions, elements, sites, crystal }
    }

    /// Atoms in the primitive cell.
    pub fn atoms(&self) -> usize {
        self.positions.iter().map(|w| w.primitive_multiplicity()).sum()
    }
}

fn of_element(e: Element) -> [f32; ELEMENT] {
    let mut numbers = [0.0; ELEMENT];
    let known = [e.electronegativity(), e.covalent_radius(), e.atomic_radius()];
    for (n, (value, mean)) in numbers.iter_mut().zip(known.into_iter().zip([1.8, 1.5, 1.5])) {
        *n = (value.unwrap_or(mean) - mean) as f32;
    }
    numbers[3] = (f32::from(e.z()) - 40.0) / 30.0;
    numbers[4 + usize::from(e.row() - 1)] = 1.0;
    numbers[11 + usize::from(e.group() - 1)] = 1.0;
    numbers
}

/// Shares of the kinds of rotations among operations.
fn rotations(group: &SpaceGroup, operations: impl IntoIterator<Item = usize>) -> [f32; ROTATIONS] {
    let (mut shares, mut count) = ([0.0; ROTATIONS], 0.0);
    for k in operations {
        let r = group.operations()[k].rotation;
        let trace = r[0][0] + r[1][1] + r[2][2];
        let determinant = r[0][0] * (r[1][1] * r[2][2] - r[1][2] * r[2][1])
            - r[0][1] * (r[1][0] * r[2][2] - r[1][2] * r[2][0])
            + r[0][2] * (r[1][0] * r[2][1] - r[1][1] * r[2][0]);
        let kind = match trace * determinant {
            3 => 0,
            -1 => 1,
            0 => 2,
            1 => 3,
            _ => 4,
        };
        shares[kind + if determinant < 0 { 5 } else { 0 }] += 1.0;
        count += 1.0;
    }
    shares.map(|n: f32| n / count)
}

fn of_position(group: &SpaceGroup, w: &WyckoffPosition) -> [f32; POSITION] {
    let mut numbers = [0.0; POSITION];
    numbers[0] = (w.primitive_multiplicity() as f32).ln() / 2.0;
    numbers[1 + w.freedom()] = 1.0;
    numbers[5..5 + ROTATIONS].copy_from_slice(&rotations(group, w.stabilizer().iter().copied()));
    for (n, &p) in numbers[5 + ROTATIONS..].iter_mut().zip(w.projector().iter()) {
        *n = p as f32;
    }
    numbers
}

/// An earlier prediction of the end.
#[derive(Debug, Clone)]
pub(super) struct Earlier {
    /// Standardized numbers of the cell.
    pub cell: [f32; cell::COORDINATES],
    /// Displacement of each site, Cartesian, in units of ℓ.
    pub displacements: Vec<[f32; 3]>,
}

/// Numbers of an [`Origin`]: whether there is one, distance per element, whether it has the same elements, the logarithm of its
/// rank.
pub(super) const FACTS: usize = 4;

/// The known crystal that a crystal is made of.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// What was on each site.
    pub replaced: Vec<Element>,
    /// Its sites (fractional).
    pub frac: Vec<[f64; 3]>,
    /// Standardized numbers of its cell, scaled.
    pub cell: [f64; cell::COORDINATES],
    pub facts: [f32; FACTS],
}

/// Where a crystal is on its path.
pub(super) struct Place<'a> {
    pub frame: &'a Frame,
    pub origin: Option<&'a Origin>,
    /// Standardized numbers of the cell; those that are fixed are zero.
    pub cell: [f64; cell::COORDINATES],
    /// Fractional coordinates of the sites.
    pub frac: &'a [[f64; 3]],
    /// Time, 0 to 1.
    pub time: f64,
    pub pairs: &'a Pairs,
}

/// Crystals that the network reads together.
#[derive(Clone)]
pub(super) struct Tokens {
    pub sets: TokenSets,
    /// (tokens, [`TOKEN`]).
    features: Vec<f32>,
    /// Atomic number of each token's element; 0 for a cell.
    pub elements: Index,
    /// (crystals, [`TIME`]).
    times: Vec<f32>,
    /// Atomic number of what each token's element has replaced; 0 where nothing was.
    pub replaced: Index,
    /// (crystals, [`FACTS`]).
    facts: Vec<f32>,
    /// Number of each crystal's space group, less 1.
    pub groups: Index,
    pub first: Index,
    pub second: Index,
    /// The crystal of each token.
    pub crystals: Index,
    /// The token of each crystal's cell.
    pub cells: Index,
    /// (pairs, radial): sums between sites; zero where the cell is one of the two.
    scalars: Vec<f32>,
    /// (pairs, radial, 3).
    vectors: Vec<f32>,
    /// (tokens, 3, 3).
    directions: Vec<f32>,
    /// Displacements that lead to the known crystal: (tokens, 3).
    ways: Vec<f32>,
    /// Standardized numbers of the known crystal's cell: (crystals, 6).
    known_cells: Vec<f32>,
    radial: usize,
}

impl Tokens {
    pub fn new(places: &[Place<'_>], config: &NetworkConfig) -> Self {
        let radial = config.radial;
        let sizes: Vec<u32> = places.iter().map(|p| p.frame.elements.len() as u32 + 1).collect();
        let sets = TokenSets::new(sizes);
        let (tokens, pairs) = (sets.tokens(), sets.pairs());
        let mut features = Vec::with_capacity(tokens * TOKEN);
        let mut elements = Vec::with_capacity(tokens);
        let (mut replaced, mut facts) =
            (Vec::with_capacity(tokens), Vec::with_capacity(places.len() * FACTS));
        let mut times = Vec::with_capacity(places.len() * TIME);
        let mut directions = vec![0.0; 9 * tokens];
        let (mut scalars, mut vectors) = (vec![0.0; pairs * radial], vec![0.0; 3 * pairs * radial]);
        let (mut cells, mut token, mut pair) = (Vec::with_capacity(places.len()), 0, 0);
        let (mut ways, mut known_cells) = (Vec::with_capacity(3 * tokens), Vec::new());
        for place in places {
            let frame = place.frame;
            let sites = frame.elements.len();
            let crystal = of_crystal(place);
            for (k, frac) in place.frac.iter().enumerate() {
                features.push(0.0);
                features.extend_from_slice(&frame.sites[k]);
                features.extend_from_slice(&match config.absolute_coordinates {
                    true => of_frac(*frac),
                    false => [0.0; 6 * HARMONICS],
                });
                features.extend_from_slice(&[0.0; 3]);
                let way = way(place, k);
                features.extend_from_slice(&way);
                ways.extend_from_slice(&way);
                features.extend_from_slice(&crystal);
                let replaced = place.origin.map_or([0.0; ELEMENT], |origin| of_element(origin.replaced[k]));
                features.extend_from_slice(&replaced);
                elements.push(u32::from(frame.elements[k].z()));
            }
            features.push(1.0);
            features.extend_from_slice(&[0.0; ELEMENT + POSITION + MOVING]);
            features.extend_from_slice(&crystal);
            features.extend_from_slice(&[0.0; ELEMENT]);
            ways.extend_from_slice(&[0.0; 3]);
            known_cells.extend_from_slice(&crystal[CRYSTAL - cell::COORDINATES..]);
            elements.push(0);
            match place.origin {
                Some(origin) => replaced.extend(origin.replaced.iter().map(|e| u32::from(e.z()))),
                None => replaced.resize(elements.len() - 1, 0),
            }
            replaced.push(0);
            facts.extend_from_slice(&place.origin.map_or([0.0; FACTS], |origin| origin.facts));
            times.extend_from_slice(&of_time(place.time));
            directions[9 * token..][..9 * sites].copy_from_slice(&place.pairs.directions);
            for a in 0..sites {
                let (to, from) = ((pair + a * (sites + 1)) * radial, a * sites * radial);
                let n = sites * radial;
                scalars[to..][..n].copy_from_slice(&place.pairs.scalars[from..][..n]);
                vectors[3 * to..][..3 * n].copy_from_slice(&place.pairs.vectors[3 * from..][..3 * n]);
            }
            token += sites;
            cells.push(token as u32);
            token += 1;
            pair += (sites + 1) * (sites + 1);
        }
        let [first, second] = sets.pair_tokens().map(Index::from);
        Self {
            crystals: sets.token_sets().into(),
            features,
            elements: elements.into(),
            replaced: replaced.into(),
            facts,
            times,
            groups: places.iter().map(|p| u32::from(p.frame.group.number()) - 1).collect(),
            first,
            second,
            cells: cells.into(),
            scalars,
            vectors,
            directions,
            ways,
            known_cells,
            radial,
            sets,
        }
    }

    /// Puts an earlier prediction of each crystal's end beside what is known of it; `None` leaves zeros.
    pub fn set_earlier<'e>(&mut self, earlier: impl IntoIterator<Item = Option<&'e Earlier>>) {
        let site = 1 + ELEMENT + POSITION + 6 * HARMONICS;
        let crystal = 1 + ELEMENT + POSITION + MOVING;
        let mut token = 0;
        for (earlier, &size) in earlier.into_iter().zip(self.sets.sizes()) {
            let size = size as usize;
            for k in 0..size {
                let row = &mut self.features[(token + k) * TOKEN..][..TOKEN];
                let Some(earlier) = earlier else { continue };
                if let Some(d) = earlier.displacements.get(k) {
                    row[site..site + 3].copy_from_slice(d);
                }
                let cell = &mut row[crystal + 2 * cell::COORDINATES..];
                cell[..cell::COORDINATES].copy_from_slice(&earlier.cell);
                cell[cell::COORDINATES] = 1.0;
            }
            token += size;
        }
    }

    pub fn features(&self, device: &Device) -> Tensor<2> {
        matrix(self.features.clone(), TOKEN, device)
    }

    pub fn facts(&self, device: &Device) -> Tensor<2> {
        matrix(self.facts.clone(), FACTS, device)
    }

    pub fn times(&self, device: &Device) -> Tensor<2> {
        matrix(self.times.clone(), TIME, device)
    }

    pub fn scalars(&self, device: &Device) -> Tensor<2> {
        matrix(self.scalars.clone(), self.radial, device)
    }

    pub fn vectors(&self, device: &Device) -> Tensor<2> {
        matrix(self.vectors.clone(), 3 * self.radial, device)
    }

    pub fn ways(&self, device: &Device) -> Tensor<2> {
        matrix(self.ways.clone(), 3, device)
    }

    pub fn known_cells(&self, device: &Device) -> Tensor<2> {
        matrix(self.known_cells.clone(), cell::COORDINATES, device)
    }

    pub fn directions(&self, device: &Device) -> Tensor<2> {
        matrix(self.directions.clone(), 9, device)
    }
}

fn of_frac(frac: [f64; 3]) -> [f32; 6 * HARMONICS] {
    let mut numbers = [0.0; 6 * HARMONICS];
    for (i, x) in frac.into_iter().enumerate() {
        for h in 0..HARMONICS {
            let (sin, cos) = (std::f64::consts::TAU * (h + 1) as f64 * x).sin_cos();
            numbers[2 * (i * HARMONICS + h)] = sin as f32;
            numbers[2 * (i * HARMONICS + h) + 1] = cos as f32;
        }
    }
    numbers
}

fn of_crystal(place: &Place<'_>) -> [f32; CRYSTAL] {
    let mut numbers = [0.0; CRYSTAL];
    for &i in cell::free(place.frame.group.lattice_system()) {
        numbers[i] = place.cell[i] as f32;
        numbers[cell::COORDINATES + i] = 1.0;
    }
    // The earlier prediction, and whether there is one, come in between.
    let rest = 3 * cell::COORDINATES + 1;
    numbers[rest] = (place.frame.atoms() as f32).ln() - 2.0;
    let group = &place.frame.crystal;
    numbers[rest + 1..][..group.len()].copy_from_slice(group);
    if let Some(origin) = place.origin {
        let known = &mut numbers[CRYSTAL - cell::COORDINATES..];
        known.iter_mut().zip(origin.cell).for_each(|(n, x)| *n = x as f32);
    }
    numbers
}

/// The displacement of a site that leads to the known crystal, Cartesian, in units of ℓ; zero where there is none.
fn way(place: &Place<'_>, site: usize) -> [f32; 3] {
    let Some(origin) = place.origin else { return [0.0; 3] };
    let position = place.frame.positions[site];
    let (now, end) = (position.parameters(place.frac[site]), position.parameters(origin.frac[site]));
    let mut way = [0.0; 3];
    for (i, (u, v)) in now.iter().zip(end).enumerate() {
        let step = v - u;
        let step = (step - step.round()) as f32;
        let direction = &place.pairs.directions[9 * site + 3 * i..][..3];
        way.iter_mut().zip(direction).for_each(|(w, d)| *w += step * d);
    }
    way
}

fn of_time(t: f64) -> [f32; TIME] {
    let mut numbers = [0.0; TIME];
    numbers[0] = t as f32;
    for k in 0..TIMES {
        let (sin, cos) = (std::f64::consts::PI * (k + 1) as f64 * t).sin_cos();
        numbers[1 + 2 * k] = sin as f32;
        numbers[2 + 2 * k] = cos as f32;
    }
    numbers
}

/// The parameters' change that a Cartesian displacement (Å) of a site is.
pub(super) fn parameters_of(
    position: &WyckoffPosition,
    lattice: &druse_crystal::Lattice,
    displacement: Vector3<f64>,
) -> [f64; 3] {
    let d = lattice.to_fractional(displacement.into());
    let origin = position.origin();
    let own = position.parameters(std::array::from_fn(|i| origin[i] + d[i]));
    std::array::from_fn(|i| own.get(i).copied().unwrap_or(0.0))
}
