//! The encoder: SphereNet for compositions and positions, a perceptron for cells (Luo et al. 2023, section 3.2; the latents
//! of cells and positions as in the published code).

use burn::tensor::Tensor;
use druse_crystal::Element;
use druse_nn::blocks::Linear;
use druse_nn::blocks::dimenet::{Readout, SizeError};
use druse_nn::blocks::spherenet::{SphereGeometry, SphereNet, SphereNetConfig};
use druse_nn::{Init, ParamBuilder, Params};

use crate::autoencoder::{Gaussian, Head};

/// Largest absolute value of a mean.
pub(super) const LARGEST_MEAN: f64 = 14.0;
/// Largest logarithm of a variance.
pub(super) const LARGEST_LOG_VARIANCE: f64 = 6.0;
/// Width of the numbers of an atom in the last layer of SphereNet, for latents of the published width twice of them.
const PARTS: usize = 2;

/// Crystals to posteriors. Latents are the composition's, the position's and the cell's, one behind the other, all of one
/// width.
#[derive(Debug, Clone)]
pub(crate) struct Encoder {
    pub backbone: SphereNet,
    mean: Linear,
    log_variance: Linear,
    cell_mean: Head,
    cell_log_variance: Head,
}

impl Encoder {
    /// Registers `encoder_backbone`, `fc_mu`, `fc_var`, `fc_lattice_mu`, `fc_lattice_log_var` for latents of width `latent`
    /// and perceptrons with a hidden layer of width `hidden`.
    ///
    /// # Errors
    /// [`SizeError`] for sizes that make no SphereNet.
    pub fn new(
        builder: &mut ParamBuilder,
        config: &SphereNetConfig,
        [latent, hidden]: [usize; 2],
    ) -> Result<Self, SizeError> {
        let width = PARTS * latent;
        let backbone = SphereNet::new(builder, "encoder_backbone", config, width)?;
        // Variances start at one, whatever the crystal.
        let [weight, bias] = [Init::Constant(1e-10), Init::Zeros];
        let sizes = [6, hidden, latent];
        Ok(Self {
            backbone,
            mean: Linear::new(builder, "fc_mu", [width, width], true),
            log_variance: Linear::with_init(builder, "fc_var", [width, width], weight, Some(bias)),
            cell_mean: Head::new(builder, "fc_lattice_mu", sizes),
            cell_log_variance: Head::with_last(builder, "fc_lattice_log_var", sizes, [weight, bias]),
        })
    }

    /// What SphereNet says of whole crystals: (B, 2 · latent).
    pub fn hidden(&self, params: &Params, geometry: &SphereGeometry, species: &[Element]) -> Tensor<2> {
        Readout::Sum.apply(self.backbone.forward(params, geometry, species), geometry.graph())
    }

    /// Posterior of the composition and the position, not clipped, from [`Encoder::hidden`]: (B, 2 · latent).
    pub fn of_crystals(&self, params: &Params, hidden: Tensor<2>) -> Gaussian {
        Gaussian {
            mean: self.mean.forward(params, hidden.clone()),
            log_variance: self.log_variance.forward(params, hidden),
        }
    }

    /// Posterior of the cell, not clipped, from its six standardized numbers (B, 6): (B, latent).
    pub fn of_cells(&self, params: &Params, cells: Tensor<2>) -> Gaussian {
        Gaussian {
            mean: self.cell_mean.forward(params, cells.clone()),
            log_variance: self.cell_log_variance.forward(params, cells),
        }
    }

    /// The whole posterior: (B, 3 · latent).
    pub fn posterior(
        &self,
        params: &Params,
        geometry: &SphereGeometry,
        species: &[Element],
        cells: Tensor<2>,
    ) -> Gaussian {
        let of_crystals = self.of_crystals(params, self.hidden(params, geometry, species));
        let of_cells = self.of_cells(params, cells);
        clip(Gaussian {
            mean: Tensor::cat(vec![of_crystals.mean, of_cells.mean], 1),
            log_variance: Tensor::cat(vec![of_crystals.log_variance, of_cells.log_variance], 1),
        })
    }
}

/// Means within ±14, logarithms of variances up to 6.
pub(crate) fn clip(g: Gaussian) -> Gaussian {
    Gaussian {
        mean: g.mean.clamp(-LARGEST_MEAN, LARGEST_MEAN),
        log_variance: g.log_variance.clamp_max(LARGEST_LOG_VARIANCE),
    }
}
