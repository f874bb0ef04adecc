//! Sizes of the published adversarial networks, and what passes through them.

use burn::tensor::Tensor;
use druse_nn::ops::ConvGeometry;

use crate::ModelError;

/// Rows, columns and depth, as the publication has them, in the order depth, rows, columns.
pub(super) const fn turned([rows, columns, depth]: [usize; 3]) -> [usize; 3] {
    [depth, rows, columns]
}

/// Kernel and stride of a layer: rows, columns, depth.
pub(super) type Shape = ([usize; 3], [usize; 3]);

/// Size of the volume that a generator begins with: rows, columns, depth.
pub(super) const SEED: [usize; 3] = [16, 16, 4];

/// Transposed convolutions of both generators: from the seed to (64, 64, 40).
pub(super) const UPWARD: [Shape; 9] = [
    ([3; 3], [1; 3]),
    ([3; 3], [1; 3]),
    ([3; 3], [1; 3]),
    ([3; 3], [1; 3]),
    ([3; 3], [1; 3]),
    ([3; 3], [1; 3]),
    ([3; 3], [1; 3]),
    ([3; 3], [1; 3]),
    ([2; 3], [2; 3]),
];

/// The convolution at the end of both generators: to (64, 64, 4).
pub(super) const TO_IMAGE: Shape = ([1, 1, 10], [1, 1, 10]);

/// The size of an image as a volume: rows, columns, depth.
pub(super) const IMAGE: [usize; 3] = [64, 64, 4];

/// A layer from so many features to so many on a volume of this size, in the order depth, rows, columns.
pub(super) fn geometry(size: [usize; 3], features: [usize; 2], (kernel, stride): Shape) -> ConvGeometry {
    ConvGeometry::valid(1, size, features, turned(kernel), turned(stride))
}

/// The transpose of a layer, from so many features to so many.
pub(super) fn transposed(size: [usize; 3], features: [usize; 2], (kernel, stride): Shape) -> ConvGeometry {
    ConvGeometry::transposed(1, size, features, turned(kernel), turned(stride))
}

/// The output of a layer, kept on the way: its name, its size (rows, columns, depth; none for vectors) and the numbers, with
/// pixels in the order depth, rows, columns.
pub(super) struct Kept {
    pub layer: String,
    pub size: Option<[usize; 3]>,
    pub value: Tensor<2>,
}

/// What is kept of the layers on the way, if anything.
pub(super) type Trace<'a> = Option<&'a mut Vec<Kept>>;

/// Keeps a layer's output where that is wanted; the size is in the order depth, rows, columns.
pub(super) fn keep(trace: &mut Trace<'_>, layer: &str, size: Option<[usize; 3]>, value: &Tensor<2>) {
    if let Some(kept) = trace {
        let size = size.map(|[depth, rows, columns]| [rows, columns, depth]);
        kept.push(Kept { layer: layer.to_owned(), size, value: value.clone() });
    }
}

/// Vectors of (rows, columns, depth) as pixels in the order depth, rows, columns, with one feature each.
pub(super) fn volume_of_vectors(x: Tensor<2>, [rows, columns, depth]: [usize; 3]) -> Tensor<2> {
    let [batch, _] = x.dims();
    let x = x.reshape([batch, rows * columns, depth]).swap_dims(1, 2);
    x.reshape([batch * depth * rows * columns, 1])
}

/// The opposite of [`volume_of_vectors`], for any number of features: (batch, rows · columns · depth · features).
pub(super) fn vectors_of_volume(x: Tensor<2>, [rows, columns, depth]: [usize; 3]) -> Tensor<2> {
    let [pixels, features] = x.dims();
    let area = rows * columns;
    let batch = pixels / (area * depth);
    let x = x.reshape([batch, depth, area, features]).swap_dims(1, 2);
    x.reshape([batch, area * depth * features])
}

/// Adds a plane (batch, rows · columns) to all depths and features of volumes of this size (depth, rows, columns).
pub(super) fn add_plane(x: Tensor<2>, plane: Tensor<2>, [depth, rows, columns]: [usize; 3]) -> Tensor<2> {
    let [pixels, features] = x.dims();
    let area = rows * columns;
    let batch = pixels / (area * depth);
    let sum = x.reshape([batch, depth, area, features]) + plane.reshape([batch, 1, area, 1]);
    sum.reshape([pixels, features])
}

/// Refuses lists of widths of another length, and zeros.
pub(super) fn check_widths(key: &str, widths: &[usize], expected: Option<usize>) -> Result<(), ModelError> {
    if let Some(n) = expected.filter(|&n| n != widths.len()) {
        return Err(ModelError::Config(format!("{key} has {} widths, expected {n}", widths.len())));
    }
    match widths.iter().position(|&w| w == 0) {
        Some(i) => Err(ModelError::Config(format!("{key}[{i}] = 0, expected at least 1"))),
        None => Ok(()),
    }
}

/// Refuses a probability of dropout outside [0, 1).
pub(super) fn check_dropout(dropout: f64) -> Result<(), ModelError> {
    match (0.0..1.0).contains(&dropout) {
        true => Ok(()),
        false => Err(ModelError::Config(format!("dropout = {dropout}, expected 0 or more and less than 1"))),
    }
}
