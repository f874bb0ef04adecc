//! The networks that give radial weights from radial functions.

use crate::basis::Basis;
use crate::real::Real;

/// Three layers without biases. Factors of the published network lie in the matrices.
#[derive(Debug)]
pub(super) struct Net<R: Real> {
    layers: [R::Matrix; 3],
    inputs: usize,
    width: usize,
    pub outputs: usize,
}

/// Memory for intermediate values, kept from call to call.
#[derive(Debug, Default)]
pub(super) struct Hidden<R>([Vec<R>; 6]);

impl<R: Real> Net<R> {
    /// A network from the published weights; `silu_scale` is the factor of its activations.
    pub fn new(layers: [&[f64]; 3], inputs: usize, width: usize, silu_scale: f64) -> Self {
        let outputs = layers[2].len() / width;
        let pack = |weights: &[f64], shape: [usize; 2], scale: f64| {
            let factor = scale / (shape[0] as f64).sqrt();
            R::pack(&weights.iter().map(|w| w * factor).collect::<Vec<_>>(), shape)
        };
        let layers = [
            pack(layers[0], [inputs, width], 1.0),
            pack(layers[1], [width, width], silu_scale),
            pack(layers[2], [width, outputs], silu_scale),
        ];
        Self { layers, inputs, width, outputs }
    }

    /// Weights at some distances, a row each, and their slopes where they are asked for.
    pub fn evaluate(
        &self,
        basis: &Basis,
        distances: &[f64],
        values: &mut [R],
        slopes: Option<&mut [R]>,
        hidden: &mut Hidden<R>,
    ) {
        let rows = distances.len();
        if rows == 0 {
            return;
        }
        let Hidden([input, tilt, first, second, first_slope, second_slope]) = hidden;
        let (mut value, mut slope) = (vec![0.0; self.inputs], vec![0.0; self.inputs]);
        input.clear();
        tilt.clear();
        for &r in distances {
            basis.at(r, &mut value, &mut slope);
            input.extend(value.iter().map(|&x| R::narrow(x)));
            tilt.extend(slope.iter().map(|&x| R::narrow(x)));
        }
        let width = self.width;
        let fill = |memory: &mut Vec<R>| memory.resize(rows * width, R::default());
        for memory in [&mut *first, &mut *second, &mut *first_slope, &mut *second_slope] {
            fill(memory);
        }
        R::multiply(first, width, rows, input, self.inputs, &self.layers[0], false);
        if slopes.is_some() {
            R::multiply(first_slope, width, rows, tilt, self.inputs, &self.layers[0], false);
            R::silu_backward(first, first_slope);
            R::multiply(second_slope, width, rows, first_slope, width, &self.layers[1], false);
        }
        R::silu(first);
        R::multiply(second, width, rows, first, width, &self.layers[1], false);
        if let Some(slopes) = slopes {
            R::silu_backward(second, second_slope);
            R::multiply(slopes, self.outputs, rows, second_slope, width, &self.layers[2], false);
        }
        R::silu(second);
        R::multiply(values, self.outputs, rows, second, width, &self.layers[2], false);
    }
}
