//! From the numbers of the edges to the noise of positions and cells (Sultanov et al. 2023, section 4.3; constants as in the
//! published code).

use burn::tensor::{Device, Tensor};
use druse_crystal::{LatticeError, SpaceGroup};
use druse_nn::graph::{Index, SymmetricEdges, SymmetricGraph};
use druse_nn::ops::{matrix, weighted_sum};
use nalgebra::Matrix3;

use crate::process::cell_coordinates;

/// Largest number of an edge that moves positions.
const LIMIT: f32 = 15.0;
/// Step of the differences of lengths, in cell coordinates.
const STEP: f64 = 0.1;
/// Added to squared gradients of lengths.
const SOFTENING: f64 = 1e-3;
/// Columns of cell coordinates; those that a lattice system does not have are zero.
pub(super) const CELL: usize = 6;

/// What turns numbers of edges into noise: all that needs no weights.
#[derive(Default)]
pub(super) struct Directions {
    /// For each edge of the crystals that positions are wanted of, the unit vector times [`LIMIT`].
    positions: Vec<f32>,
    /// Edges of these crystals.
    position_edges: Vec<u32>,
    /// Sites that they leave, counted among these crystals.
    position_sites: Vec<u32>,
    /// Sites of these crystals.
    sites: usize,
    /// For each edge of the crystals that cells are wanted of, six numbers.
    cells: Vec<f32>,
    cell_edges: Vec<u32>,
    /// Crystal of each of these edges, counted among these crystals.
    cell_crystals: Vec<u32>,
    crystals: usize,
    /// Edges met so far.
    edges: u32,
}

/// A projection of the noise of each site; absent: none.
pub(super) type Projections<'a> = Option<&'a [Matrix3<f64>]>;

impl Directions {
    /// Appends a crystal whose noise of positions is wanted: `Σ 15 tanh(w/15) D/|D|` over the edges that leave a site.
    pub fn push_positions(&mut self, edges: &SymmetricEdges, projections: Projections<'_>) {
        for edge in &edges.edges {
            let length = edge.vector.iter().map(|x| x * x).sum::<f64>().sqrt();
            let mut unit = nalgebra::Vector3::from(edge.vector) / length;
            if let Some(projections) = projections {
                unit = projections[edge.source as usize] * unit;
            }
            self.positions.extend(unit.iter().map(|x| (x * f64::from(LIMIT)) as f32));
            self.position_edges.push(self.edges);
            self.position_sites.push(self.sites as u32 + edge.source);
            self.edges += 1;
        }
        self.sites += edges.sites;
    }

    /// Appends a crystal whose noise of the cell is wanted: the mean over its edges of `q G / (1e-3 + |G|²)`, with the
    /// gradient G of the edge's length by the free cell coordinates, from central differences, fractional coordinates
    /// kept.
    ///
    /// # Errors
    /// [`LatticeError`] when a cell of the differences is none.
    pub fn push_cell(
        &mut self,
        edges: &SymmetricEdges,
        group: &SpaceGroup,
        free: &[f64],
    ) -> Result<(), LatticeError> {
        let gradients = length_gradients(edges, group, free)?;
        let share = 1.0 / edges.edges.len().max(1) as f64;
        for gradient in &gradients {
            let scale = share / (SOFTENING + gradient.iter().map(|g| g * g).sum::<f64>());
            self.cells.extend(gradient.iter().map(|g| (g * scale) as f32));
            self.cell_edges.push(self.edges);
            self.cell_crystals.push(self.crystals as u32);
            self.edges += 1;
        }
        self.crystals += 1;
        Ok(())
    }

    /// The noise of the positions (sites, 3), in Å by the deviation of the level, from the outputs of all edges (E, 2).
    pub fn of_positions(&self, outputs: &Tensor<2>) -> Option<Tensor<2>> {
        if self.position_edges.is_empty() {
            return None;
        }
        let device = outputs.device();
        let w = column(outputs, 0, &self.position_edges, self.edges);
        let bounded = w.div_scalar(LIMIT).tanh();
        let directions = self.matrix(&self.positions, 3, &device);
        Some(weighted_sum(bounded, directions, &self.position_sites.clone().into(), self.sites))
    }

    /// The noise of the cell coordinates (crystals, 6), by the deviation of the level, from the outputs of all edges (E, 2).
    pub fn of_cells(&self, outputs: &Tensor<2>) -> Option<Tensor<2>> {
        if self.cell_edges.is_empty() {
            return None;
        }
        let device = outputs.device();
        let q = column(outputs, 1, &self.cell_edges, self.edges);
        let gradients = self.matrix(&self.cells, CELL, &device);
        Some(weighted_sum(q, gradients, &self.cell_crystals.clone().into(), self.crystals))
    }

    fn matrix(&self, values: &[f32], columns: usize, device: &Device) -> Tensor<2> {
        matrix(values.to_vec(), columns, device)
    }

    /// Whether the edges of a graph are those of the crystals, in their order.
    pub fn fits(&self, graph: &SymmetricGraph) -> bool {
        graph.num_edges() == self.edges as usize
    }
}

/// Some rows of a column.
fn column(outputs: &Tensor<2>, column: usize, rows: &[u32], all: u32) -> Tensor<2> {
    let values = outputs.clone().narrow(1, column, 1);
    if rows.len() == all as usize {
        return values;
    }
    let rows: Index = rows.to_vec().into();
    druse_nn::ops::gather(values, &rows)
}

/// Central differences of the lengths of edges by the free cell coordinates, the others zero.
fn length_gradients(
    edges: &SymmetricEdges,
    group: &SpaceGroup,
    free: &[f64],
) -> Result<Vec<[f64; CELL]>, LatticeError> {
    let mut gradients = vec![[0.0; CELL]; edges.edges.len()];
    let mut moved = free.to_vec();
    for k in 0..free.len() {
        for sign in [1.0, -1.0] {
            moved[k] = free[k] + sign * STEP;
            let cell = cell_coordinates::cell(group.lattice_system(), &moved)?;
            let cell = group.centring().primitive_lattice(&cell)?;
            for (gradient, edge) in gradients.iter_mut().zip(&edges.edges) {
                let length = cell.to_cartesian(edge.frac_vector).iter().map(|x| x * x).sum::<f64>().sqrt();
                gradient[k] += sign * length / (2.0 * STEP);
            }
        }
        moved[k] = free[k];
    }
    Ok(gradients)
}

#[cfg(test)]
mod tests {
    use druse_nn::graph::CopyRule;

    use super::super::crystals::edges;
    use super::*;

    /// Lengths of a cubic crystal are proportional to its edge, those in a basal plane do not depend on c.
    #[test]
    fn gradients_follow_the_lattice_system() {
        let slope = |u: f64| {
            let length = cell_coordinates::length;
            (length(u + STEP) - length(u - STEP)) / (2.0 * STEP)
        };
        let sites = [[0.1, 0.2, 0.3], [0.6, 0.1, 0.45]];
        let cubic = SpaceGroup::new(225).unwrap();
        let free = [cell_coordinates::length_coordinate(5.0)];
        let cell = cell_coordinates::cell(cubic.lattice_system(), &free).unwrap();
        let found = edges(cubic, &cell, &sites, (30, CopyRule::Each)).unwrap();
        for (g, edge) in length_gradients(&found, cubic, &free).unwrap().iter().zip(&found.edges) {
            let length = edge.vector.iter().map(|x| x * x).sum::<f64>().sqrt();
            assert!((g[0] - length / 5.0 * slope(free[0])).abs() < 1e-9 && g[1..] == [0.0; 5]);
        }
        let hexagonal = SpaceGroup::new(194).unwrap();
        let free = [4.0, 9.0].map(cell_coordinates::length_coordinate);
        let cell = cell_coordinates::cell(hexagonal.lattice_system(), &free).unwrap();
        let found = edges(hexagonal, &cell, &[[0.0, 0.0, 0.25]], (12, CopyRule::Each)).unwrap();
        let gradients = length_gradients(&found, hexagonal, &free).unwrap();
        for (g, edge) in gradients.iter().zip(&found.edges) {
            let [x, y, z] = edge.vector;
            let expected = [x.hypot(y).powi(2) / 4.0 * slope(free[0]), z * z / 9.0 * slope(free[1])];
            let length = edge.vector.iter().map(|x| x * x).sum::<f64>().sqrt();
            for (g, expected) in g.iter().zip(expected) {
                assert!((g - expected / length).abs() < 1e-3 * (1.0 + expected / length), "{g} {expected}");
            }
        }
    }

    /// A long edge and its predicted change: the estimate is the change itself where one coordinate is free.
    #[test]
    fn estimates_of_one_coordinate_are_its_change() {
        let group = SpaceGroup::new(221).unwrap();
        let free = [cell_coordinates::length_coordinate(40.0)];
        let cell = cell_coordinates::cell(group.lattice_system(), &free).unwrap();
        let found = edges(group, &cell, &[[0.1, 0.23, 0.31]], (40, CopyRule::Each)).unwrap();
        let gradients = length_gradients(&found, group, &free).unwrap();
        let device = druse_nn::device::cpu();
        let outputs: Vec<f32> = gradients.iter().flat_map(|g| [0.0, 0.7 * g[0] as f32]).collect();
        let mut directions = Directions::default();
        directions.push_cell(&found, group, &free).unwrap();
        let noise = directions.of_cells(&matrix(outputs, 2, &device)).unwrap();
        let noise: Vec<f32> = noise.to_data().try_into_vec().unwrap();
        let softened: f64 = gradients.iter().map(|g| g[0] * g[0] / (SOFTENING + g[0] * g[0])).sum();
        let expected = 0.7 * softened / gradients.len() as f64;
        assert!((f64::from(noise[0]) - expected).abs() < 1e-5 && noise[1..] == [0.0; 5], "{noise:?}");
        assert!(directions.of_positions(&matrix(vec![0.0; 2 * gradients.len()], 2, &device)).is_none());
    }
}
