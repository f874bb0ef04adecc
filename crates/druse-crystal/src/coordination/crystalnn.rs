//! The rule CrystalNN: from facets to weights, from weights to coordination numbers.

use std::{f64::consts::PI, sync::OnceLock};

use crate::{
    Element, Neighbor, Structure,
    coordination::{CoordinationError, Facet, Tessellation},
};

/// Largest difference of Pauling electronegativities, which scales `x_diff_weight`.
const MAX_X_DIFFERENCE: f64 = 3.3;
/// Weights are rounded to this fraction of 1.
const STEPS: f64 = 1000.0;

/// Settings of the near-neighbor rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CrystalNn {
    /// Neighbors farther than the sum of the radii plus the first number (Å) weigh less, farther than that plus the
    /// second nothing. Radii are covalent, or atomic where there is no covalent one.
    pub distance_cutoffs: Option<[f64; 2]>,
    /// Weight of the difference of electronegativities between site and neighbor.
    pub x_diff_weight: Option<f64>,
    /// Whether facets count by solid angle × solid angle / area, which suits open structures better.
    pub porous_adjustment: bool,
    /// Radius of the first search (Å); see [`Tessellation`].
    pub search_cutoff: f64,
}

impl CrystalNn {
    /// The default settings: bonds, as the CrystalNN fingerprint takes them.
    pub const FINGERPRINT: Self = Self {
        distance_cutoffs: Some([0.5, 1.0]),
        x_diff_weight: Some(3.0),
        porous_adjustment: true,
        search_cutoff: 7.0,
    };

    /// Purely geometric settings: the graphs of CDVAE (T. Xie et al., ICLR 2022) and SyMat.
    pub const GRAPH: Self =
        Self { distance_cutoffs: None, x_diff_weight: None, porous_adjustment: false, search_cutoff: 7.0 };
}

/// A neighbor with its weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CoordinatedAtom {
    /// Index of the neighboring site.
    pub site: u32,
    /// Lattice translation: the neighbor sits at `frac[site] + image`.
    pub image: [i32; 3],
    /// From the central site to the neighbor (Å).
    pub vector: [f64; 3],
    /// Distance in Å.
    pub distance: f64,
    /// Weight in (0, 1], a multiple of 0.001.
    pub weight: f64,
}

/// What CrystalNN says of one site.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteCoordination {
    /// The coordination number of the largest probability; the smaller one of two equal ones, but 0 last.
    pub cn: usize,
    /// Coordination numbers of non-zero probability in ascending order. The probabilities add up to 1.
    pub cn_weights: Vec<(usize, f64)>,
    /// Neighbors of non-zero weight, heaviest first. Those that make up a coordination number are its first entries.
    pub neighbors: Vec<CoordinatedAtom>,
    /// Number of facets of the Voronoi cell.
    pub n_voronoi: usize,
    /// Sum of the solid angles of the facets over 4π: 1 up to rounding.
    pub solid_angle: f64,
}

impl SiteCoordination {
    /// The neighbors of the most probable coordination number.
    pub fn bonded(&self) -> &[CoordinatedAtom] {
        &self.neighbors[..self.cn.min(self.neighbors.len())]
    }
}

impl CrystalNn {
    /// The coordination of site `i`.
    ///
    /// # Errors
    /// As [`Tessellation::new`], [`Tessellation::cell`]; [`CoordinationError::NoRadius`] with distance cutoffs when a
    /// radius is missing.
    pub fn site(&self, s: &Structure, i: usize) -> Result<SiteCoordination, CoordinationError> {
        self.weigh(&mut Tessellation::new(s, self.search_cutoff)?, i)
    }

    /// The coordination of every site; the search for neighbors is shared.
    ///
    /// # Errors
    /// As [`CrystalNn::site`], for the first site that has one.
    pub fn sites(&self, s: &Structure) -> Result<Vec<SiteCoordination>, CoordinationError> {
        let mut cells = Tessellation::new(s, self.search_cutoff)?;
        (0..s.len()).map(|i| self.weigh(&mut cells, i)).collect()
    }

    /// The coordination of site `i` from its Voronoi cell. Cells made with another search cutoff than that of `self`
    /// keep theirs.
    ///
    /// # Errors
    /// As [`CrystalNn::site`].
    pub fn weigh(
        &self,
        cells: &mut Tessellation<'_>,
        i: usize,
    ) -> Result<SiteCoordination, CoordinationError> {
        let s = cells.structure();
        let facets = cells.cell(i)?.facets;
        let mut weighted = self.by_facet(s, i, facets);
        let highest = largest(&weighted);
        if highest > 0.0 {
            weighted.iter_mut().for_each(|(w, _)| *w /= highest);
        }
        if let Some(cutoffs) = self.distance_cutoffs {
            let own = radius(s.species[i])?;
            for (weight, f) in &mut weighted {
                let neighbor = &facets[*f].neighbor;
                let sum = own + radius(s.species[neighbor.site as usize])?;
                *weight *= by_distance(neighbor.distance, sum + cutoffs[0], sum + cutoffs[1]);
            }
        }
        // By the weights before rounding: the order of neighbors matters to one order parameter, even that of equal
        // ones, which in the reference too is left to the last digits.
        weighted.retain(|&(w, _)| w > 0.0);
        weighted.sort_by(|a, b| b.0.total_cmp(&a.0));
        let neighbors: Vec<CoordinatedAtom> = weighted
            .iter()
            .map(|&(w, f)| (in_steps(w), &facets[f].neighbor))
            .take_while(|&(steps, _)| steps > 0)
            .map(|(steps, neighbor)| {
                let vector = vector(s, i, neighbor);
                CoordinatedAtom {
                    site: neighbor.site,
                    image: neighbor.image,
                    vector,
                    distance: vector.iter().map(|x| x * x).sum::<f64>().sqrt(),
                    weight: steps as f64 / STEPS,
                }
            })
            .collect();
        let cn_weights = probabilities(&neighbors);
        Ok(SiteCoordination {
            cn: most_probable(&cn_weights),
            cn_weights,
            neighbors,
            n_voronoi: facets.len(),
            solid_angle: facets.iter().map(|f| f.solid_angle).sum::<f64>() / (4.0 * PI),
        })
    }

    /// Weight of each facet before distances count, with the facet's index.
    fn by_facet(&self, s: &Structure, i: usize, facets: &[Facet]) -> Vec<(f64, usize)> {
        let largest_angle = facets.iter().map(|f| f.solid_angle).fold(0.0, f64::max);
        let own = s.species[i].electronegativity();
        let x_diff_weight = self.x_diff_weight.filter(|&w| w > 0.0);
        let weight = |f: &Facet| {
            let mut w = f.solid_angle / largest_angle;
            if self.porous_adjustment {
                w *= f.solid_angle / f.area;
            }
            if let (Some(factor), Some(x), Some(y)) =
                (x_diff_weight, own, s.species[f.neighbor.site as usize].electronegativity())
            {
                w *= 1.0 + factor * ((x - y).abs() / MAX_X_DIFFERENCE).sqrt();
            }
            w
        };
        facets.iter().map(weight).zip(0..).collect()
    }
}

/// From site `i` to a neighbor (Å), by the shortest computation: opposite neighbors in a symmetric cell come out
/// exactly opposite, which sums over images do not give.
fn vector(s: &Structure, i: usize, neighbor: &Neighbor) -> [f64; 3] {
    let at = s.frac_coords[neighbor.site as usize];
    let there = s.lattice.to_cartesian(std::array::from_fn(|c| at[c] + f64::from(neighbor.image[c])));
    let here = s.lattice.to_cartesian(s.frac_coords[i]);
    std::array::from_fn(|c| there[c] - here[c])
}

fn largest(weighted: &[(f64, usize)]) -> f64 {
    weighted.iter().map(|w| w.0).fold(0.0, f64::max)
}

fn radius(e: Element) -> Result<f64, CoordinationError> {
    e.covalent_radius().or(e.atomic_radius()).ok_or(CoordinationError::NoRadius(e))
}

/// Half a cosine from 1 at `low` to 0 at `high`.
fn by_distance(distance: f64, low: f64, high: f64) -> f64 {
    if distance <= low {
        1.0
    } else if distance < high {
        0.5 * (((distance - low) / (high - low) * PI).cos() + 1.0)
    } else {
        0.0
    }
}

/// A weight in thousandths, halves to even (of the product rounded to a double, as NumPy does).
fn in_steps(weight: f64) -> usize {
    (weight * STEPS).round_ties_even() as usize
}

/// Area under the unit quarter circle from 0 to `steps` / 1000, over the whole area.
fn quarter_circle(steps: usize) -> f64 {
    static TABLE: OnceLock<Vec<f64>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let area = |x: f64| {
            let y = (1.0 - x * x).sqrt();
            0.5 * (x * y + x.atan2(y)) / (0.25 * PI)
        };
        (0..=STEPS as usize).map(|k| area(k as f64 / STEPS)).collect()
    });
    table[steps.min(table.len() - 1)]
}

/// Probability of each coordination number: the distinct weights cut the quarter circle into strips, and the strip
/// below a weight belongs to the number of neighbors that weigh at least as much.
fn probabilities(neighbors: &[CoordinatedAtom]) -> Vec<(usize, f64)> {
    let steps = |n: &CoordinatedAtom| in_steps(n.weight);
    let mut all = Vec::with_capacity(neighbors.len() + 1);
    let heaviest = neighbors.first().map_or(0, steps);
    if heaviest < STEPS as usize {
        all.push((0, 1.0 - quarter_circle(heaviest)));
    }
    for (k, n) in neighbors.iter().enumerate() {
        let next = neighbors.get(k + 1).map_or(0, steps);
        if next != steps(n) {
            all.push((k + 1, quarter_circle(steps(n)) - quarter_circle(next)));
        }
    }
    all
}

fn most_probable(cn_weights: &[(usize, f64)]) -> usize {
    let mut best = (0, 0.0);
    for &(cn, w) in cn_weights.iter().filter(|p| p.0 > 0) {
        if w > best.1 {
            best = (cn, w);
        }
    }
    cn_weights.first().filter(|p| p.0 == 0 && p.1 > best.1).map_or(best.0, |p| p.0)
}
