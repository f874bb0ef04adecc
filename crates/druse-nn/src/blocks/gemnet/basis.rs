//! Projections of the radial basis.

use burn::tensor::Tensor;

use super::{GemNetSizes, linear};
use crate::blocks::linear::Dense;
use crate::ops::{self, Activation};
use crate::{Init, ParamBuilder, ParamId, Params};

/// Projections of the radial basis that all blocks share.
#[derive(Debug, Clone)]
pub struct SharedBasis {
    triplet: Dense,
    atom: Dense,
    output: Dense,
    angular: ParamId,
    sizes: GemNetSizes,
}

/// What [`SharedBasis`] computes once per graph.
#[derive(Clone)]
pub struct ProjectedBasis {
    /// For the triplet interaction: (E, C).
    pub triplet: Tensor<2>,
    /// For sums over edges into atoms: (E, C).
    pub atom: Tensor<2>,
    /// For the output blocks: (E, C).
    pub output: Tensor<2>,
    /// Radial factor of the angular sum: (E, S · C), degree slow.
    pub angular: Tensor<2>,
}

impl SharedBasis {
    /// Registers `prefix.mlp_rbf3`, `mlp_cbf3`, `mlp_rbf_h`, `mlp_rbf_out`.
    pub fn new(builder: &mut ParamBuilder, prefix: &str, sizes: GemNetSizes) -> Self {
        let shape = [sizes.num_radial, sizes.basis];
        Self {
            triplet: linear(builder, &format!("{prefix}.mlp_rbf3"), shape),
            angular: builder.add(
                format!("{prefix}.mlp_cbf3.weight"),
                &[sizes.num_spherical, sizes.num_radial, sizes.basis],
                Init::HeOrthogonal,
            ),
            atom: linear(builder, &format!("{prefix}.mlp_rbf_h"), shape),
            output: linear(builder, &format!("{prefix}.mlp_rbf_out"), shape),
            sizes,
        }
    }

    /// Projects the radial basis (E, R).
    pub fn forward(&self, params: &Params, rbf: &Tensor<2>) -> ProjectedBasis {
        let GemNetSizes { num_spherical: s, num_radial: r, basis: c, .. } = self.sizes;
        let weight = params.derived(self.angular, [0, s * r * c], || {
            params.get(self.angular).reshape([s, r, c]).permute([0, 2, 1]).reshape([s * c, r])
        });
        ProjectedBasis {
            triplet: self.triplet.forward(params, rbf.clone()),
            atom: self.atom.forward(params, rbf.clone()),
            output: self.output.forward(params, rbf.clone()),
            angular: ops::dense(rbf.clone(), weight, Activation::Identity),
        }
    }
}
