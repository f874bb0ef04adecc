//! Bases of distances and angles on a device.

use burn::tensor::{Device, Tensor, TensorData};

use crate::basis::SphericalBesselBasis;
use crate::ops::{self, Activation};

/// The bases of all edges on the device.
pub(super) struct Bases {
    /// (E, R).
    pub radial: Tensor<2>,
    /// (E, L · R).
    spherical: Tensor<2>,
    /// (L, 1, L · R): 1 where a column belongs to the degree.
    degree_of_column: Tensor<3>,
}

impl Bases {
    /// Puts the radial factors of the spherical basis, (E, L · R) row by row, beside the radial basis (E, R).
    pub fn new(radial: Tensor<2>, factors: &[f32], basis: &SphericalBesselBasis, device: &Device) -> Self {
        let (degrees, columns) = (basis.degrees(), basis.degrees() * basis.count());
        let mask = (0..degrees * columns)
            .map(|i| if i / columns == i % columns / basis.count() { 1f32 } else { 0.0 })
            .collect::<Vec<_>>();
        Self {
            radial,
            spherical: ops::matrix(factors.to_vec(), columns, device),
            degree_of_column: Tensor::from_data(TensorData::new(mask, [degrees, 1, columns]), device),
        }
    }

    /// Applies the part of a weight (C, L · R) that belongs to a degree to the functions of that degree, for every degree:
    /// (E, L · C), the degree slow. The angular functions multiply the result, since they depend on the degree alone.
    pub fn project(&self, weight: Tensor<2>) -> Tensor<2> {
        let [c, columns] = weight.dims();
        let [degrees, ..] = self.degree_of_column.dims();
        let blocks = weight.reshape([1, c, columns]) * self.degree_of_column.clone();
        ops::dense(self.spherical.clone(), blocks.reshape([degrees * c, columns]), Activation::Identity)
    }
}
