//! Triplet interaction, atom update, interaction block, edge head.

use burn::tensor::Tensor;

use super::{BlockScales, GemNetSizes, Geometry, ProjectedBasis, activated, linear};
use crate::blocks::linear::{Dense, ResidualDense, SplitDense};
use crate::ops;
use crate::{Init, ParamBuilder, ParamId, Params};

/// Messages between edges that share their source: bilinear in the radial and angular basis of the pair.
#[derive(Debug, Clone)]
pub struct TripletInteraction {
    before: Dense,
    radial: Dense,
    down: Dense,
    bilinear: ParamId,
    up_forward: Dense,
    up_reverse: Dense,
    num_spherical: usize,
    /// Factors after the radial filter and after the sum over pairs.
    scales: [f32; 2],
}

impl TripletInteraction {
    /// Registers the layers below `name`.
    pub fn new(builder: &mut ParamBuilder, name: &str, sizes: GemNetSizes, scales: &BlockScales) -> Self {
        let GemNetSizes { hidden, triplet, basis, bilinear, .. } = sizes;
        Self {
            before: activated(builder, &format!("{name}.dense_ba"), [hidden, hidden]),
            radial: linear(builder, &format!("{name}.mlp_rbf"), [basis, hidden]),
            bilinear: builder.add(
                format!("{name}.mlp_cbf.weight"),
                &[triplet, basis, bilinear],
                Init::HeOrthogonal,
            ),
            down: activated(builder, &format!("{name}.down_projection"), [hidden, triplet]),
            up_forward: activated(builder, &format!("{name}.up_projection_ca"), [bilinear, hidden]),
            up_reverse: activated(builder, &format!("{name}.up_projection_ac"), [bilinear, hidden]),
            num_spherical: sizes.num_spherical,
            scales: [scales.triplet_radial, scales.triplet_sum],
        }
    }

    /// (E, A) → (E, A).
    ///
    /// The sum over pairs goes through `S[q, l] = Σ_p Y_l(φ_pq) x[p]`, then meets the radial factor of q: the array
    /// of triplets never exists.
    pub fn forward(
        &self,
        params: &Params,
        m: Tensor<2>,
        basis: &ProjectedBasis,
        geometry: &Geometry,
    ) -> Tensor<2> {
        let x = self.before.forward(params, m);
        let [radial, sum] = self.scales;
        let x = ops::filter(x, basis.triplet.clone(), self.radial.weight(params), radial);
        let x = self.down.forward(params, x);
        let sums = geometry.angular_sum(x);
        let weight = params.get(self.bilinear);
        let y = ops::bilinear(sums, basis.angular.clone(), weight, self.num_spherical, sum);
        let there = self.up_forward.forward(params, y.clone());
        let back = self.up_reverse.forward(params, y);
        ops::residual_gather(there, back, &geometry.graph.reverse)
    }
}

/// An activated layer followed by three residual pairs.
#[derive(Debug, Clone)]
struct Perceptron {
    first: Dense,
    residuals: [ResidualDense; 3],
}

impl Perceptron {
    /// Registers `name.0` and the residual pairs `name.1` to `name.3`.
    fn new(builder: &mut ParamBuilder, name: &str, width: usize) -> Self {
        Self {
            first: activated(builder, &format!("{name}.0"), [width, width]),
            residuals: [1, 2, 3].map(|i| ResidualDense::new(builder, &format!("{name}.{i}"), width)),
        }
    }

    /// (rows, width) → (rows, width).
    fn forward(&self, params: &Params, x: Tensor<2>) -> Tensor<2> {
        let [a, b, c] = self.residuals.each_ref().map(|pair| pair.weights(params));
        let ([a1, a2], [b1, b2], [c1, c2]) = (a, b, c);
        ops::perceptron([x, self.first.weight(params), a1, a2, b1, b2, c1, c2], true)
    }
}

/// Sum of edge embeddings into atoms followed by a perceptron.
#[derive(Debug, Clone)]
pub struct AtomUpdate {
    radial: Dense,
    layers: Perceptron,
    scale: f32,
}

impl AtomUpdate {
    /// Registers `name.dense_rbf` and `name.layers.*`; the sum is multiplied by `scale`.
    pub fn new(builder: &mut ParamBuilder, name: &str, sizes: GemNetSizes, scale: f32) -> Self {
        Self {
            scale,
            radial: linear(builder, &format!("{name}.dense_rbf"), [sizes.basis, sizes.hidden]),
            layers: Perceptron::new(builder, &format!("{name}.layers"), sizes.hidden),
        }
    }

    /// m is (E, A), `radial` (E, C); sums at the receivers of edges; returns (N, A).
    pub fn forward(
        &self,
        params: &Params,
        m: Tensor<2>,
        radial: Tensor<2>,
        geometry: &Geometry,
    ) -> Tensor<2> {
        let (weight, atoms) = (self.radial.weight(params), geometry.graph.num_atoms);
        let x = ops::filtered_sum(m, radial, weight, self.scale, geometry.receivers(), atoms);
        self.layers.forward(params, x)
    }
}

/// One round of messages: edges from triplets, atoms from edges, edges from atoms.
#[derive(Debug, Clone)]
pub struct InteractionBlock {
    dense: Dense,
    triplet: TripletInteraction,
    before_skip: ResidualDense,
    after_skip: [ResidualDense; 2],
    atom_update: AtomUpdate,
    concat: SplitDense,
    residual_m: ResidualDense,
}

impl InteractionBlock {
    /// Registers the layers below `name`.
    pub fn new(builder: &mut ParamBuilder, name: &str, sizes: GemNetSizes, scales: &BlockScales) -> Self {
        let a = sizes.hidden;
        let res = |builder: &mut ParamBuilder, part: &str| {
            ResidualDense::new(builder, &format!("{name}.{part}"), a)
        };
        Self {
            dense: activated(builder, &format!("{name}.dense_ca"), [a, a]),
            triplet: TripletInteraction::new(builder, &format!("{name}.trip_interaction"), sizes, scales),
            before_skip: res(builder, "layers_before_skip.0"),
            after_skip: [res(builder, "layers_after_skip.0"), res(builder, "layers_after_skip.1")],
            atom_update: AtomUpdate::new(builder, &format!("{name}.atom_update"), sizes, scales.atom_sum),
            concat: SplitDense::new(builder, &format!("{name}.concat_layer.dense"), a, a, a),
            residual_m: res(builder, "residual_m.0"),
        }
    }

    /// The triplet interaction alone, for checks against reference values.
    pub fn triplet_interaction(&self) -> &TripletInteraction {
        &self.triplet
    }

    /// (h, m) → (h, m).
    pub fn forward(
        &self,
        params: &Params,
        h: Tensor<2>,
        m: Tensor<2>,
        basis: &ProjectedBasis,
        geometry: &Geometry,
    ) -> (Tensor<2>, Tensor<2>) {
        let x = ops::residual_sum(
            self.dense.forward(params, m.clone()),
            self.triplet.forward(params, m.clone(), basis, geometry),
        );
        let x = self.before_skip.forward(params, x);
        let m = ops::residual_sum(m, x);
        let [[a1, a2], [b1, b2]] = self.after_skip.each_ref().map(|pair| pair.weights(params));
        let m = ops::perceptron([m, a1, a2, b1, b2], false);
        let update = self.atom_update.forward(params, m.clone(), basis.atom.clone(), geometry);
        let h = ops::residual_sum(h, update);
        let change =
            self.concat.forward(params, h.clone(), m.clone(), geometry.senders(), geometry.receivers());
        let change = self.residual_m.forward(params, change);
        (h, ops::residual_sum(m, change))
    }
}

/// One scalar per edge ("force branch").
#[derive(Debug, Clone)]
pub struct EdgeHead {
    layers: Perceptron,
    output: Dense,
    radial: Dense,
    scale: f32,
}

impl EdgeHead {
    /// Registers `name.seq_forces.*`, `name.out_forces`, `name.dense_rbf_F`; the result is multiplied by `scale`.
    pub fn new(builder: &mut ParamBuilder, name: &str, sizes: GemNetSizes, scale: f32) -> Self {
        let a = sizes.hidden;
        Self {
            scale,
            layers: Perceptron::new(builder, &format!("{name}.seq_forces"), a),
            output: linear(builder, &format!("{name}.out_forces"), [a, 1]),
            radial: linear(builder, &format!("{name}.dense_rbf_F"), [sizes.basis, a]),
        }
    }

    /// m is (E, A), `radial` (E, C); returns (E, 1).
    pub fn forward(&self, params: &Params, m: Tensor<2>, radial: Tensor<2>) -> Tensor<2> {
        let x = self.layers.forward(params, m);
        let (radial_weight, output) = (self.radial.weight(params), self.output.weight(params));
        ops::filtered_output(x, radial, radial_weight, output, self.scale)
    }
}
