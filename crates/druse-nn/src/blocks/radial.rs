//! Radial bases as layers: on devices, with trainable parts.

use burn::tensor::{Device, Tensor};

use crate::basis::{GaussianBasis, envelope_dimenet};
use crate::ops;
use crate::{Init, ParamBuilder, ParamId, Params};

/// `envelope_dimenet(u) sin(ω_k u)` with u = distance / cut-off and trainable frequencies ω_k, which start at kπ.
#[derive(Debug, Clone)]
pub struct BesselBasis {
    frequencies: ParamId,
    cutoff: f64,
    enveloped: bool,
}

impl BesselBasis {
    /// Registers `name.freq` (count).
    pub fn new(builder: &mut ParamBuilder, name: &str, count: usize, cutoff: f64) -> Self {
        Self::named(builder, &format!("{name}.freq"), count, cutoff)
    }

    /// [`BesselBasis::new`] with another name of the frequencies.
    pub fn named(builder: &mut ParamBuilder, name: &str, count: usize, cutoff: f64) -> Self {
        let frequencies = builder.add(name, &[count], Init::Frequencies);
        Self { frequencies, cutoff, enveloped: true }
    }

    /// The same without the envelope.
    pub fn plain(builder: &mut ParamBuilder, name: &str, count: usize, cutoff: f64) -> Self {
        Self { enveloped: false, ..Self::new(builder, name, count, cutoff) }
    }

    /// Values at the given distances (in the unit of the cut-off): (distances, count).
    pub fn forward(&self, params: &Params, distances: &[f64]) -> Tensor<2> {
        let places = distances.iter().map(|d| {
            let u = d / self.cutoff;
            [u, if self.enveloped { envelope_dimenet(u) } else { 1.0 }]
        });
        ops::enveloped_sines(params.get(self.frequencies), places.collect())
    }
}

impl GaussianBasis {
    /// Values at the given distances on a device, (distances, count). GPUs evaluate them there.
    pub fn tensor(&self, distances: &[f64], device: &Device) -> Tensor<2> {
        #[cfg(feature = "gpu")]
        if crate::device::is_gpu(device) {
            let places = distances.iter().flat_map(|d| {
                let u = d / self.cutoff;
                let place = u * (self.count - 1) as f64;
                [place.round(), place - place.round(), crate::basis::envelope_gemnet(u)].map(|x| x as f32)
            });
            return ops::cube::gaussians(places.collect(), self.count, device);
        }
        ops::matrix(self.evaluate(distances), self.count, device)
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;
    use crate::device::cpu;

    #[test]
    fn frequencies_start_at_multiples_of_pi() {
        let mut builder = ParamBuilder::default();
        let basis = BesselBasis::new(&mut builder, "rbf", 4, 7.0);
        let plain = BesselBasis::plain(&mut builder, "plain", 4, 7.0);
        let specs = builder.finish();
        assert_eq!((specs[0].name.as_str(), specs[0].shape.as_slice()), ("rbf.freq", [4].as_slice()));
        let params = Params::init(&specs, 1, &cpu());
        let at = |basis: &BesselBasis| -> Vec<f32> {
            basis.forward(&params, &[3.5, 8.4]).to_data().try_into_vec().expect("32-bit floats")
        };
        let (values, plain) = (at(&basis), at(&plain));
        for (i, d) in [3.5, 8.4].into_iter().enumerate() {
            for k in 0..4 {
                let sine = ((k + 1) as f64 * PI * d / 7.0).sin();
                let exact = envelope_dimenet(d / 7.0) * sine;
                assert!((f64::from(values[4 * i + k]) - exact).abs() < 2e-6, "{d} {k}");
                assert!((f64::from(plain[4 * i + k]) - sine).abs() < 2e-6, "{d} {k}");
            }
        }
    }
}
