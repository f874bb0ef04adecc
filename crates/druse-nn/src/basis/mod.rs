//! Radial and angular functions, evaluated on the host.

mod angular;
mod bessel;
mod harmonics;
mod radial;

pub(crate) use angular::{zonal_harmonics, zonal_harmonics_slopes};
pub use bessel::SphericalBesselBasis;
pub(crate) use harmonics::{LANES, RealHarmonics};
pub(crate) use radial::envelope_gemnet_slope;
pub use radial::{GaussianBasis, envelope_dimenet, envelope_gemnet};
