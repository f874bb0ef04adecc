//! What the noise that the network predicts may not depend on: which site of an orbit is the distinct one, and which of the
//! equivalent origins of the space group is taken.

use std::sync::Arc;

use druse_crystal::{Element, Lattice, SpaceGroup};
use druse_nn::Params;
use druse_nn::blocks::dimenet::DimeNetConfig;
use druse_nn::device::cpu;
use druse_nn::graph::{AngleRule, CopyRule, SymmetricGraph};
use druse_nn::memory::to_host;
use nalgebra::{Matrix3, Vector3};

use super::crystals::{Joined, edges};
use super::scores::Directions;
use super::{Adaptive, AdaptiveConfig};
use crate::process::cell_coordinates;

fn model() -> (Adaptive, Params) {
    let network = DimeNetConfig {
        hidden: 16,
        interaction: 8,
        basis: 4,
        output_embedding: 12,
        blocks: 2,
        num_spherical: 5,
        num_radial: 4,
        cutoff: 6.0,
        output_layers: 1,
        ..DimeNetConfig::default()
    };
    let model = Adaptive::new(AdaptiveConfig { network, ..AdaptiveConfig::default() }).unwrap();
    let params = Params::init(&model.specs, 4, &cpu());
    (model, params)
}

/// Predicted noise of sites and cell.
fn noise(
    (model, params): &(Adaptive, Params),
    group: &SpaceGroup,
    cell: &Lattice,
    frac: &[[f64; 3]],
    joined: Joined,
    rule: AngleRule,
) -> (Vec<Vector3<f64>>, Vec<f32>) {
    let free = cell_coordinates::free_coordinates(group.lattice_system(), cell);
    let found = edges(group, cell, frac, joined).unwrap();
    let mut directions = Directions::default();
    directions.push_positions(&found, None);
    directions.push_cell(&found, group, &free).unwrap();
    let graph = Arc::new(SymmetricGraph::join(&[found.clone(), found]));
    let geometry = model.network.geometry(graph, rule);
    let species: Vec<Element> =
        ["Na", "Cl"].iter().cycle().take(2 * frac.len()).map(|s| s.parse().unwrap()).collect();
    let outputs = model.network.forward(params, &geometry, &species, &[3, 3]);
    let positions = to_host(directions.of_positions(&outputs).unwrap()).unwrap();
    let cells = to_host(directions.of_cells(&outputs).unwrap()).unwrap();
    (positions.chunks(3).map(|p| Vector3::from_fn(|k, _| f64::from(p[k]))).collect(), cells)
}

fn close(a: &[f32], b: &[f32]) -> bool {
    let scale = a.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3 * scale)
}

#[test]
fn the_distinct_site_of_an_orbit_does_not_matter() {
    let both = model();
    let group = SpaceGroup::new(166).unwrap();
    let cell = group.lattice_system().lattice(&[5.1, 13.0]).unwrap();
    let frac = [[0.137, 0.291, 0.118], [0.52, 0.07, 0.233]];
    let (positions, cells) =
        noise(&both, group, &cell, &frac, (36, CopyRule::Distinct), AngleRule::Geometric);
    for op in group.operations().iter().skip(1).step_by(5) {
        let image = [op.apply(frac[0]), frac[1]];
        let (moved, same) =
            noise(&both, group, &cell, &image, (36, CopyRule::Distinct), AngleRule::Geometric);
        let m = cell.matrix().transpose();
        let rotation = Matrix3::from_fn(|i, j| f64::from(op.rotation[i][j]));
        let turned = m * rotation * m.try_inverse().unwrap() * positions[0];
        let scale = positions[0].norm().max(positions[1].norm());
        assert!((turned - moved[0]).norm() < 1e-3 * scale, "{op}: {turned} {}", moved[0]);
        assert!((positions[1] - moved[1]).norm() < 1e-3 * scale, "{op}");
        assert!(close(&cells, &same), "{op}: {cells:?} {same:?}");
    }
}

#[test]
fn equivalent_origins_do_not_matter() {
    let both = model();
    for (number, free, shift) in [
        (225, vec![6.9], [0.5; 3]),
        (194, vec![4.9, 7.7], [0.0, 0.0, 0.5]),
        (62, vec![5.1, 6.3, 7.9], [0.5, 0.0, 0.5]),
    ] {
        let group = SpaceGroup::new(number).unwrap();
        let cell = group.lattice_system().lattice(&free).unwrap();
        let frac = [[0.137, 0.291, 0.118], [0.52, 0.07, 0.233]];
        let other = frac.map(|f| std::array::from_fn(|k| f[k] + shift[k]));
        for rule in [AngleRule::Published, AngleRule::Geometric] {
            let (positions, cells) = noise(&both, group, &cell, &frac, (30, CopyRule::Distinct), rule);
            let (moved, same) = noise(&both, group, &cell, &other, (30, CopyRule::Distinct), rule);
            let scale = positions[0].norm();
            assert!(
                (positions[0] - moved[0]).norm() < 1e-3 * scale,
                "{number}: {} {}",
                positions[0],
                moved[0]
            );
            assert!(close(&cells, &same), "{number}: {cells:?} {same:?}");
        }
    }
}
