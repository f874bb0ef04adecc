//! The networks of the tests once more, in double precision and in plain loops, from their published equations.

use druse_nn::blocks::{ContinuousFilterSizes, envelope_gemnet};
use druse_nn::graph::Multigraph;

/// Parameters by position, row-major.
pub type Values = Vec<Vec<f64>>;

fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// `W x + b` with W (out, in).
fn linear(x: &[f64], weight: &[f64], bias: Option<&[f64]>) -> Vec<f64> {
    let rows = weight.chunks_exact(x.len()).enumerate();
    rows.map(|(i, w)| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias.map_or(0.0, |b| b[i])).collect()
}

fn activated(x: Vec<f64>) -> Vec<f64> {
    x.into_iter().map(silu).collect()
}

/// Energies of the crystals of a graph with displaced atoms (N, 3) and strained cells (B, 9).
pub fn energies(
    values: &Values,
    sizes: ContinuousFilterSizes,
    atomic_numbers: &[u8],
    graph: &Multigraph,
    displacements: &[f64],
    strains: &[f64],
) -> Vec<f64> {
    let ContinuousFilterSizes { width, interactions, basis } = sizes;
    let mut values = values.iter().map(Vec::as_slice);
    let mut next = || values.next().expect("a value for every parameter");
    let table = next();
    let mut h: Vec<Vec<f64>> =
        atomic_numbers.iter().map(|&z| table[(usize::from(z) - 1) * width..][..width].to_vec()).collect();
    let bases: Vec<Vec<f64>> = (0..graph.num_edges())
        .map(|e| {
            let (i, j) = (graph.source[e] as usize, graph.destination[e] as usize);
            let c = graph.crystal_of_atom[i] as usize;
            let r: [f64; 3] = std::array::from_fn(|a| {
                graph.vectors[e][a] + displacements[3 * j + a] - displacements[3 * i + a]
            });
            let strained =
                (0..3).map(|b| r[b] + (0..3).map(|a| r[a] * strains[9 * c + 3 * a + b]).sum::<f64>());
            let u = strained.map(|x| x * x).sum::<f64>().sqrt() / basis.cutoff;
            let last = (basis.count - 1) as f64;
            (0..basis.count)
                .map(|k| (-0.5 * (u * last - k as f64).powi(2)).exp() * envelope_gemnet(u))
                .collect()
        })
        .collect();
    for _ in 0..interactions {
        let [g1, g2, w, v1, b1, v2, b2] = std::array::from_fn(|_| next());
        let mut sums = vec![vec![0.0; width]; h.len()];
        for (e, basis) in bases.iter().enumerate() {
            let filter = linear(&activated(linear(basis, g1, None)), g2, None);
            let message = linear(&h[graph.destination[e] as usize], w, None);
            let sum = &mut sums[graph.source[e] as usize];
            sum.iter_mut().zip(message).zip(filter).for_each(|((s, m), f)| *s += m * f);
        }
        for (h, m) in h.iter_mut().zip(sums) {
            let change = linear(&activated(linear(&m, v1, Some(b1))), v2, Some(b2));
            h.iter_mut().zip(change).for_each(|(h, c)| *h += c);
        }
    }
    let [u, c, o] = std::array::from_fn(|_| next());
    let mut energies = vec![0.0; graph.num_crystals()];
    for (h, &crystal) in h.iter().zip(&*graph.crystal_of_atom) {
        energies[crystal as usize] += linear(&activated(linear(h, u, Some(c))), o, None)[0];
    }
    energies
}

/// A perceptron with two hidden layers and one output for a row x.
pub fn critic(values: &Values, x: &[f64]) -> f64 {
    let first = activated(linear(x, &values[0], Some(&values[1])));
    let second = activated(linear(&first, &values[2], Some(&values[3])));
    linear(&second, &values[4], Some(&values[5]))[0]
}
