//! The network: parameters in the form in which they are used.
//!
//! The first map of a layer reads several features side by side. It is cut into one map for each of them, which is applied
//! once for each atom and bond instead of once for each edge and angle that they belong to; core and gate go together, the
//! core first.

use super::bases::Bases;
use super::kernels::{Gate, Two};
use super::memory::Memory;
use super::weights::{ANGULAR, BLOCKS, ELEMENTS, FIRST, FOUR, RADIAL, TWO, WIDTH, Weights};
use crate::real::Real;

/// A linear map of rows, there and back.
#[derive(Debug)]
pub(super) struct Map<R: Real> {
    forward: R::Matrix,
    backward: R::Matrix,
}

impl<R: Real> Map<R> {
    /// A map with the given entry for a number of the input and one of the output.
    pub fn new([from, to]: [usize; 2], entry: impl Fn(usize, usize) -> f64) -> Self {
        let matrix: Vec<f64> =
            (0..from).flat_map(|k| (0..to).map(move |o| (k, o))).map(|(k, o)| entry(k, o)).collect();
        let transposed: Vec<f64> =
            (0..to).flat_map(|o| (0..from).map(move |k| (k, o))).map(|(k, o)| matrix[k * to + o]).collect();
        Self { forward: R::pack(&matrix, [from, to]), backward: R::pack(&transposed, [to, from]) }
    }

    /// `y = map of x`, or `+=`, for rows of arrays; only their first numbers, as many as the map has.
    pub fn apply<const A: usize, const B: usize>(&self, x: &[[R; A]], y: &mut [[R; B]], accumulate: bool) {
        debug_assert_eq!(x.len(), y.len());
        self.apply_from(0, x, 0, y, accumulate);
    }

    /// [`Map::apply`] to numbers from some place on in each row.
    pub fn apply_from<const A: usize, const B: usize>(
        &self,
        begin: usize,
        x: &[[R; A]],
        begin_y: usize,
        y: &mut [[R; B]],
        accumulate: bool,
    ) {
        run::<R, A, B>(&self.forward, begin, x, begin_y, y, accumulate);
    }

    /// `x = gradient of y`, or `+=`.
    pub fn back<const A: usize, const B: usize>(&self, y: &[[R; B]], x: &mut [[R; A]], accumulate: bool) {
        self.back_from(0, y, 0, x, accumulate);
    }

    /// [`Map::back`] with numbers from some place on in each row.
    pub fn back_from<const A: usize, const B: usize>(
        &self,
        begin: usize,
        y: &[[R; B]],
        begin_x: usize,
        x: &mut [[R; A]],
        accumulate: bool,
    ) {
        run::<R, B, A>(&self.backward, begin, y, begin_x, x, accumulate);
    }
}

fn run<R: Real, const A: usize, const B: usize>(
    matrix: &R::Matrix,
    begin: usize,
    x: &[[R; A]],
    begin_y: usize,
    y: &mut [[R; B]],
    accumulate: bool,
) {
    if x.is_empty() {
        return;
    }
    let rows = x.len();
    R::multiply(
        &mut y.as_flattened_mut()[begin_y..],
        B,
        rows,
        &x.as_flattened()[begin..],
        A,
        matrix,
        accumulate,
    );
}

/// An atom layer: messages over directed edges.
#[derive(Debug)]
pub(super) struct AtomLayer<R: Real> {
    /// From an atom to what it brings as the center of an edge and as the neighbor.
    pub ends: Map<R>,
    /// From a short bond, and from the radial functions of a long one, which has the features of its embedding.
    pub bond: Map<R>,
    pub basis: Map<R>,
    pub hidden: Two<R>,
    pub second: [Map<R>; 2],
    pub gate: Gate<R>,
    pub out: Map<R>,
}

/// What bond and angle layers have in common: messages over angles.
#[derive(Debug)]
pub(super) struct Messages<R: Real> {
    /// From a short bond to what it brings as the first and the second of an angle.
    pub ends: Map<R>,
    pub angle: Map<R>,
    pub atom: Map<R>,
    pub gate: Gate<R>,
}

/// A bond layer.
#[derive(Debug)]
pub(super) struct BondLayer<R: Real> {
    pub messages: Messages<R>,
    pub hidden: Two<R>,
    pub second: [Map<R>; 2],
    pub out: Map<R>,
}

/// Layers of site energies.
#[derive(Debug)]
pub(super) struct Readout<R: Real> {
    pub norm: [Vec<R>; 2],
    pub layers: [(Map<R>, Vec<R>); 3],
    pub last: Vec<f64>,
    pub last_bias: f64,
}

/// A network in 32 or 64 bits.
#[derive(Debug)]
pub(super) struct Network<R: Real> {
    pub memory: Memory<R>,
    pub bases: Bases,
    pub embedding: Vec<[R; WIDTH]>,
    /// From radial functions to a bond and to its weight in atom layers, and from those of short bonds to their weight.
    pub bond_embedding: Map<R>,
    pub atom_weight: Map<R>,
    pub bond_weight: Map<R>,
    /// From functions of an angle to [`FIRST`] numbers.
    pub angle_embedding: Map<R>,
    pub atoms: Vec<AtomLayer<R>>,
    pub bonds: Vec<BondLayer<R>>,
    /// The last one changes no result; it is there for those who want the features.
    pub angles: Vec<Messages<R>>,
    pub moment: Vec<f64>,
    pub moment_bias: f64,
    pub readout: Readout<R>,
    /// Energy of each element in the linear fit (eV).
    pub reference: Vec<f64>,
}

/// A published linear layer: rows of outputs.
struct Linear {
    weight: Vec<f64>,
    cols: usize,
}

impl Linear {
    fn new(weights: &Weights, name: &str, cols: usize) -> Self {
        Self { weight: weights.get(&format!("{name}.weight")), cols }
    }

    fn at(&self, from: usize, to: usize) -> f64 {
        self.weight[to * self.cols + from]
    }

    fn map<R: Real>(&self) -> Map<R> {
        Map::new([self.cols, self.weight.len() / self.cols], |k, o| self.at(k, o))
    }
}

/// Core and gate of a gated network.
struct Gated<'a> {
    weights: &'a Weights,
    name: String,
}

impl Gated<'_> {
    fn linear(&self, layer: usize, cols: usize) -> [Linear; 2] {
        ["core", "gate"]
            .map(|net| Linear::new(self.weights, &format!("{}.mlp_{net}.layers.{layer}", self.name), cols))
    }

    /// Numbers of the core, then of the gate.
    fn both<R: Real>(&self, names: [String; 2]) -> Two<R> {
        let mut out = [R::default(); TWO];
        for (half, name) in out.chunks_exact_mut(WIDTH).zip(names) {
            let values = self.weights.get(&format!("{}.{name}", self.name));
            half.iter_mut().zip(values).for_each(|(out, x)| *out = R::narrow(x));
        }
        out
    }

    fn bias<R: Real>(&self, layer: usize) -> Two<R> {
        self.both(["core", "gate"].map(|net| format!("mlp_{net}.layers.{layer}.bias")))
    }

    fn gate<R: Real>(&self, layer: usize) -> Gate<R> {
        Gate {
            bias: self.bias(layer),
            gain: self.both([1, 2].map(|k| format!("bn{k}.weight"))),
            shift: self.both([1, 2].map(|k| format!("bn{k}.bias"))),
        }
    }
}

/// The part of core and gate that reads one of several features.
fn part<R: Real>(linear: &[Linear; 2], feature: usize) -> Map<R> {
    Map::new([WIDTH, TWO], |k, o| part_at(linear, feature, k, o))
}

/// The parts that read two of them, side by side.
fn parts<R: Real>(linear: &[Linear; 2], features: [usize; 2]) -> Map<R> {
    Map::new([WIDTH, FOUR], |k, o| part_at(linear, features[o / TWO], k, o % TWO))
}

fn part_at(linear: &[Linear; 2], feature: usize, from: usize, to: usize) -> f64 {
    linear[to / WIDTH].at(feature * WIDTH + from, to % WIDTH)
}

fn atom_layer<R: Real>(weights: &Weights, t: usize) -> AtomLayer<R> {
    let name = format!("atom_conv_layers.{t}");
    let gated = Gated { weights, name: format!("{name}.twoBody_atom") };
    let first = gated.linear(0, 3 * WIDTH);
    let embedding = Linear::new(weights, "bond_embedding", RADIAL);
    AtomLayer {
        ends: parts(&first, [0, 2]),
        bond: part(&first, 1),
        basis: Map::new([RADIAL, TWO], |k, o| {
            (0..WIDTH).map(|m| embedding.at(k, m) * part_at(&first, 1, m, o)).sum()
        }),
        hidden: gated.bias(0),
        second: gated.linear(3, WIDTH).each_ref().map(Linear::map),
        gate: gated.gate(3),
        out: Linear::new(weights, &format!("{name}.mlp_out.layers.1"), WIDTH).map(),
    }
}

/// Maps of the features of bonds, angle and atom.
fn messages<R: Real>(first: &[Linear; 2], gate: Gate<R>) -> Messages<R> {
    Messages { ends: parts(first, [0, 1]), angle: part(first, 2), atom: part(first, 3), gate }
}

fn bond_layer<R: Real>(weights: &Weights, t: usize) -> BondLayer<R> {
    let name = format!("bond_conv_layers.{t}");
    let gated = Gated { weights, name: format!("{name}.twoBody_bond") };
    BondLayer {
        messages: messages(&gated.linear(0, 4 * WIDTH), gated.gate(3)),
        hidden: gated.bias(0),
        second: gated.linear(3, WIDTH).each_ref().map(Linear::map),
        out: Linear::new(weights, &format!("{name}.mlp_out.layers.1"), WIDTH).map(),
    }
}

fn angle_gated(weights: &Weights, t: usize) -> Gated<'_> {
    Gated { weights, name: format!("angle_layers.{t}.twoBody_bond") }
}

/// From functions of an angle to its embedding, and to what the layers of the first block make of that.
fn angle_embedding<R: Real>(weights: &Weights) -> Map<R> {
    let embedding = Linear::new(weights, "angle_embedding", ANGULAR);
    let bond = Gated { weights, name: "bond_conv_layers.0.twoBody_bond".into() }.linear(0, 4 * WIDTH);
    let angle = angle_gated(weights, 0).linear(1, 4 * WIDTH);
    Map::new([ANGULAR, FIRST], |k, o| {
        let Some(o) = o.checked_sub(WIDTH) else { return embedding.at(k, o) };
        let layer = if o < TWO { &bond } else { &angle };
        (0..WIDTH).map(|m| embedding.at(k, m) * part_at(layer, 2, m, o % TWO)).sum()
    })
}

impl<R: Real> Network<R> {
    pub fn new(weights: &Weights) -> Self {
        let narrow = |name: &str| weights.get(name).into_iter().map(R::narrow).collect::<Vec<R>>();
        let radial = |name: &str| Linear::new(weights, name, RADIAL).map();
        let embedding = narrow("atom_embedding.embedding.weight");
        let angle = |t| {
            let gated = angle_gated(weights, t);
            messages(&gated.linear(1, 4 * WIDTH), gated.gate(1))
        };
        Self {
            memory: Memory::default(),
            bases: Bases::new(weights),
            embedding: embedding.as_chunks().0[..ELEMENTS].to_vec(),
            bond_embedding: radial("bond_embedding"),
            atom_weight: radial("bond_weights_ag"),
            bond_weight: radial("bond_weights_bg"),
            angle_embedding: angle_embedding(weights),
            atoms: (0..=BLOCKS).map(|t| atom_layer(weights, t)).collect(),
            bonds: (0..BLOCKS).map(|t| bond_layer(weights, t)).collect(),
            angles: (0..BLOCKS).map(angle).collect(),
            moment: weights.get("site_wise.weight"),
            moment_bias: weights.get("site_wise.bias")[0],
            readout: Readout {
                norm: [narrow("readout_norm.weight"), narrow("readout_norm.bias")],
                layers: [0, 2, 4].map(|layer| {
                    let name = format!("mlp.layers.{layer}");
                    (Linear::new(weights, &name, WIDTH).map(), narrow(&format!("{name}.bias")))
                }),
                last: weights.get("mlp.layers.7.weight"),
                last_bias: weights.get("mlp.layers.7.bias")[0],
            },
            reference: weights.get("composition_model.fc.weight"),
        }
    }
}
