//! Reading rows by index, and sums over the rows with one index.

use burn::tensor::{Device, Int, Tensor};
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::launch::{arg, grid, list_arg, new_matrix, upload};
use crate::graph::Index;
use crate::ops::device_op::DeviceOp;
use crate::ops::gather::{Gather, ScatterSum};

/// A list of row numbers on a device, and the same list by row: the positions `order[ptr[i]..ptr[i + 1]]` hold i, in
/// rising order.
#[derive(Debug, Clone)]
pub(crate) struct DeviceIndex {
    pub(super) rows: Tensor<1, Int>,
    order: Tensor<1, Int>,
    ptr: Tensor<1, Int>,
    /// One more than the largest row number.
    bound: usize,
}

impl DeviceIndex {
    /// The list on a device, uploaded once.
    pub fn on(index: &Index, device: &Device) -> Self {
        index.uploads().get(device, |device| Self::new(index, device))
    }

    fn new(rows: &[u32], device: &Device) -> Self {
        let bound = rows.iter().max().map_or(0, |&i| i as usize + 1);
        let mut ptr = vec![0u32; bound + 1];
        for &i in rows {
            ptr[i as usize + 1] += 1;
        }
        for i in 0..bound {
            ptr[i + 1] += ptr[i];
        }
        let mut next = ptr.clone();
        let mut order = vec![0u32; rows.len()];
        for (e, &i) in (0u32..).zip(rows) {
            order[next[i as usize] as usize] = e;
            next[i as usize] += 1;
        }
        Self {
            rows: upload(rows.to_vec(), device),
            order: upload(order, device),
            ptr: upload(ptr, device),
            bound,
        }
    }

    /// Checks the list against the number of rows that kernels will address.
    pub fn check(&self, rows: usize) {
        assert!(self.bound <= rows, "row {} of a matrix with {rows} rows", self.bound.wrapping_sub(1));
    }
}

#[cube(launch)]
fn gather_kernel(x: &[f32], rows: &[u32], y: &mut [f32], cols: usize) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    let row = rows[ABSOLUTE_POS / cols] as usize;
    y[ABSOLUTE_POS] = x[row * cols + ABSOLUTE_POS % cols];
}

/// One unit for each entry of the result adds the rows of its segment in rising order.
#[cube(launch)]
fn segment_sum_kernel(x: &[f32], order: &[u32], ptr: &[u32], y: &mut [f32], cols: usize) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    let row = ABSOLUTE_POS / cols;
    let col = ABSOLUTE_POS % cols;
    let mut sum = 0.0f32;
    // Rows beyond the list's largest have no segment.
    if row + 1 < ptr.len() {
        for k in ptr[row]..ptr[row + 1] {
            sum += x[order[k as usize] as usize * cols + col];
        }
    }
    y[ABSOLUTE_POS] = sum;
}

#[cube(launch)]
fn range_sum_kernel(x: &[f32], ptr: &[u32], y: &mut [f32], cols: usize) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    let row = ABSOLUTE_POS / cols;
    let col = ABSOLUTE_POS % cols;
    let mut sum = 0.0f32;
    for k in ptr[row]..ptr[row + 1] {
        sum += x[k as usize * cols + col];
    }
    y[ABSOLUTE_POS] = sum;
}

/// `y[e] = x[index[e]]`.
pub(super) fn gather_rows(x: &Tensor<2>, index: &DeviceIndex) -> Tensor<2> {
    let [rows, cols] = x.dims();
    index.check(rows);
    let y = new_matrix([index.rows.dims()[0], cols], x);
    if let Some(g) = grid(y.dims().iter().product(), x) {
        gather_kernel::launch(&g.client, g.count, g.dim, arg(x), list_arg(&index.rows), arg(&y), cols);
    }
    y
}

/// `y[i] = Σ_e [index[e] = i] x[e]` with `rows` rows.
pub(super) fn sum_rows(x: &Tensor<2>, index: &DeviceIndex, rows: usize) -> Tensor<2> {
    let [edges, cols] = x.dims();
    assert_eq!(edges, index.rows.dims()[0], "one row for each entry of the list");
    index.check(rows);
    if edges == 0 {
        return Tensor::zeros([rows, cols], &x.device());
    }
    let y = new_matrix([rows, cols], x);
    if let Some(g) = grid(rows * cols, x) {
        let (order, ptr) = (list_arg(&index.order), list_arg(&index.ptr));
        segment_sum_kernel::launch(&g.client, g.count, g.dim, arg(x), order, ptr, arg(&y), cols);
    }
    y
}

/// `y[i] = Σ x[k]` over k in `ptr[i]..ptr[i + 1]`.
pub(super) fn sum_ranges(x: &Tensor<2>, ptr: &Tensor<1, Int>) -> Tensor<2> {
    let [edges, cols] = x.dims();
    let rows = ptr.dims()[0] - 1;
    if edges == 0 {
        return Tensor::zeros([rows, cols], &x.device());
    }
    let y = new_matrix([rows, cols], x);
    if let Some(g) = grid(rows * cols, x) {
        range_sum_kernel::launch(&g.client, g.count, g.dim, arg(x), list_arg(ptr), arg(&y), cols);
    }
    y
}

impl DeviceOp<1> for Gather {
    fn forward(&self, [x]: [Tensor<2>; 1], _keep: bool) -> (Tensor<2>, Vec<Tensor<2>>) {
        (gather_rows(&x, &DeviceIndex::on(&self.index, &x.device())), Vec::new())
    }

    fn backward(
        &self,
        [x]: [Tensor<2>; 1],
        _: Vec<Tensor<2>>,
        grad: Tensor<2>,
        _: [bool; 1],
    ) -> [Option<Tensor<2>>; 1] {
        [Some(sum_rows(&grad, &DeviceIndex::on(&self.index, &grad.device()), x.dims()[0]))]
    }
}

impl DeviceOp<1> for ScatterSum {
    fn forward(&self, [x]: [Tensor<2>; 1], _keep: bool) -> (Tensor<2>, Vec<Tensor<2>>) {
        (sum_rows(&x, &DeviceIndex::on(&self.index, &x.device()), self.rows), Vec::new())
    }

    fn backward(
        &self,
        _: [Tensor<2>; 1],
        _: Vec<Tensor<2>>,
        grad: Tensor<2>,
        _: [bool; 1],
    ) -> [Option<Tensor<2>>; 1] {
        [Some(gather_rows(&grad, &DeviceIndex::on(&self.index, &grad.device())))]
    }
}
