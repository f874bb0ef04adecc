//! Convolutions of planes and volumes.

use burn::tensor::Tensor;

use crate::ops::{self, ConvGeometry};
use crate::tangent::{self, Dual};
use crate::{Init, ParamBuilder, ParamId, Params};

/// A convolution, or the transpose of one, with a bias.
///
/// Volumes are matrices with a row for each pixel ([`ConvGeometry`]).
#[derive(Debug, Clone)]
pub struct Convolution {
    weight: ParamId,
    bias: ParamId,
    geometry: ConvGeometry,
    transposed: bool,
}

impl Convolution {
    /// Registers `name.weight` (kernel rows, columns, depth, in, out; in and out are those of the convolution that the geometry
    /// describes, also for its transpose) and `name.bias`. The batch of the geometry does not matter. The weight begins uniform
    /// in ±√(6 / (taps · (in + out))) (Glorot and Bengio 2010, equation 16), the bias at zero.
    pub fn new(builder: &mut ParamBuilder, name: &str, geometry: ConvGeometry, transposed: bool) -> Self {
        let [rows, columns, depth] = geometry.kernel;
        let [input, output] = [geometry.in_channels, geometry.out_channels];
        let bound = (6.0 / (geometry.taps() * (input + output)) as f32).sqrt();
        let shape = [rows, columns, depth, input, output];
        let channels = if transposed { input } else { output };
        Self {
            weight: builder.add(format!("{name}.weight"), &shape, Init::Uniform(bound)),
            bias: builder.add(format!("{name}.bias"), &[channels], Init::Zeros),
            geometry,
            transposed,
        }
    }

    /// Sizes for one volume.
    pub fn geometry(&self) -> &ConvGeometry {
        &self.geometry
    }

    /// Rows, columns and depth of the result.
    pub fn out_size(&self) -> [usize; 3] {
        if self.transposed { self.geometry.size } else { self.geometry.out_size() }
    }

    /// Channels of the result.
    pub fn out_channels(&self) -> usize {
        if self.transposed { self.geometry.in_channels } else { self.geometry.out_channels }
    }

    /// The tensor of the weight.
    pub fn weight(&self) -> ParamId {
        self.weight
    }

    fn parts(
        &self,
        params: &Params,
        weight: Option<Tensor<2>>,
        rows: usize,
    ) -> (Tensor<2>, Tensor<2>, ConvGeometry) {
        let size = if self.transposed { self.geometry.out_size() } else { self.geometry.size };
        let batch = rows / size.iter().product::<usize>();
        let weight = weight.unwrap_or_else(|| params.get(self.weight));
        let weight = weight.reshape(self.geometry.weight_shape());
        (weight, params.get(self.bias), ConvGeometry { batch, ..self.geometry })
    }

    /// The convolution of x, with another weight than the stored one where one is given.
    ///
    /// # Panics
    /// When the rows of x are not those of whole volumes.
    pub fn forward(&self, params: &Params, weight: Option<Tensor<2>>, x: Tensor<2>) -> Tensor<2> {
        let (weight, bias, geometry) = self.parts(params, weight, x.dims()[0]);
        match self.transposed {
            false => ops::conv(x, weight, Some(bias), &geometry),
            true => ops::conv_transposed(x, weight, Some(bias), &geometry),
        }
    }

    /// [`Convolution::forward`] of a quantity with its derivative along a direction.
    ///
    /// # Panics
    /// As [`Convolution::forward`]; for the transpose of a convolution.
    pub fn dual(&self, params: &Params, weight: Option<Tensor<2>>, x: Dual) -> Dual {
        assert!(!self.transposed, "derivatives go through convolutions alone");
        let (weight, bias, geometry) = self.parts(params, weight, x.value.dims()[0]);
        tangent::conv(x, weight, Some(bias), &geometry)
    }
}
