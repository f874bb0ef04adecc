//! Primitive cells within a distance tolerance.

use super::ReductionError;
use crate::{Element, Lattice, Structure, wrap_unit};

/// Sites of one element in the cell that is being divided.
struct Group {
    element: Element,
    frac: Vec<[f64; 3]>,
}

/// One way to divide a cell: `rows` expresses its vectors in those of the smaller cell (upper triangular Hermite
/// normal form `[[a, b, c], [0, e, f], [0, 0, g]]`).
struct Division {
    size: usize,
    diagonal: [usize; 3],
    above: [usize; 3],
}

/// Difference of two fractional coordinates to the nearest image. The nearest integer comes from a sum that drops
/// the fraction (exact below 2^51, ties to even): the library call costs more than the rest of the search.
#[inline(always)]
fn nearest(x: f64) -> f64 {
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    x - ((x + SHIFT) - SHIFT)
}

fn within(p: [f64; 3], q: [f64; 3], tolerance: [f64; 3]) -> bool {
    (0..3).all(|k| nearest(p[k] - q[k]).abs() < tolerance[k])
}

impl Structure {
    /// The smallest cell of which the crystal is a repetition up to `tolerance` (Å per cell axis), with sites that
    /// become one averaged; Niggli-reduced when smaller than the given cell, otherwise the structure as it is.
    ///
    /// The search is that of pymatgen's `get_primitive_structure`: translations that carry the sites of the rarest
    /// element onto each other, and cells of Hermite normal form made of them, in order of size; it is repeated on
    /// its own result. Being a search with a tolerance it may merge what symmetry analysis keeps apart, and the
    /// cell it arrives at may depend on the one it starts from. Sites closer to each other than twice the tolerance
    /// never become one; where some are closer than the tolerance itself the sites do not divide evenly, and the cell
    /// is left alone. Site labels and properties are dropped with the sites.
    ///
    /// # Errors
    /// [`ReductionError`] as of the Niggli reduction.
    pub fn primitive(&self, tolerance: f64) -> Result<Self, ReductionError> {
        let mut best = self.clone();
        let mut rounds = 0;
        while let Some(smaller) = smaller_cell(&best, tolerance)? {
            best = smaller;
            rounds += 1;
        }
        // pymatgen reduces on the way back from each level of its recursion.
        for _ in 0..rounds {
            best = best.niggli_reduced_as_pymatgen()?;
        }
        Ok(best)
    }
}

/// The first smaller cell in the order of the search.
fn smaller_cell(s: &Structure, tolerance: f64) -> Result<Option<Structure>, ReductionError> {
    let groups = groups(s);
    let units = groups.iter().fold(0, |d, g| gcd(d, g.frac.len()));
    if units < 2 {
        return Ok(None);
    }
    let loose = s.lattice.lengths().map(|l| tolerance / l);
    let shifts = translations(&groups, loose.map(|t| 2.0 * t));
    for division in divisions(units) {
        if let Some(found) = search(s, &groups, &shifts, loose, division, tolerance)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Sites by element, elements in order of their symbols.
fn groups(s: &Structure) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (&element, &f) in s.species.iter().zip(&s.frac_coords) {
        match groups.iter_mut().find(|g| g.element == element) {
            Some(g) => g.frac.push(f),
            None => groups.push(Group { element, frac: vec![f] }),
        }
    }
    groups.sort_by_key(|g| g.element.symbol());
    groups
}

/// Translations between sites of the rarest element that carry every site near one of its own element.
fn translations(groups: &[Group], tolerance: [f64; 3]) -> Vec<[f64; 3]> {
    let mut by_size: Vec<&Group> = groups.iter().collect();
    by_size.sort_by_key(|g| g.frac.len());
    let Some(rarest) = by_size.first() else { return Vec::new() };
    let first = rarest.frac[0];
    let mut shifts: Vec<[f64; 3]> =
        rarest.frac.iter().map(|f| std::array::from_fn(|k| f[k] - first[k])).collect();
    for group in by_size {
        // Sites in order of their first coordinate: those near a point lie in a window, or two across the boundary.
        let mut sites: Vec<[f64; 3]> = group.frac.iter().map(|f| f.map(wrap_unit)).collect();
        sites.sort_by(|p, q| p[0].total_cmp(&q[0]));
        let any_near = |p: [f64; 3]| {
            let x = wrap_unit(p[0]);
            [-1.0, 0.0, 1.0].into_iter().any(|image| {
                let x = x + image;
                let start = sites.partition_point(|s| s[0] < x - tolerance[0]);
                sites[start..]
                    .iter()
                    .take_while(|s| s[0] <= x + tolerance[0])
                    .any(|&s| within(p, s, tolerance))
            })
        };
        for from in &group.frac {
            shifts.retain(|shift| any_near(std::array::from_fn(|k| from[k] + shift[k])));
        }
    }
    shifts
}

/// Diagonals of all Hermite normal forms whose determinant divides `units`, with that determinant.
fn divisions(units: usize) -> Vec<(usize, [usize; 3])> {
    let factors = |n: usize| (1..=n).filter(move |&d| n.is_multiple_of(d));
    let mut all = Vec::new();
    for size in factors(units).skip(1) {
        for a in factors(size) {
            for e in factors(size / a) {
                all.push((size, [a, e, size / a / e]));
            }
        }
    }
    all
}

/// Tries every form of one diagonal: its inverse must consist of translations, and merging must work out.
fn search(
    s: &Structure,
    groups: &[Group],
    shifts: &[[f64; 3]],
    tolerance: [f64; 3],
    (size, diagonal): (usize, [usize; 3]),
    merge: f64,
) -> Result<Option<Structure>, ReductionError> {
    let [a, e, g] = diagonal.map(|d| d as f64);
    let near = |x: f64, shift: &[f64; 3], k: usize| nearest(x - shift[k]).abs() < tolerance[k];
    // The vectors of the small cell are the rows of the inverse; each coordinate narrows the choice of translations.
    if !shifts.iter().any(|t| near(0.0, t, 0) && near(0.0, t, 1) && near(1.0 / g, t, 2)) {
        return Ok(None);
    }
    let second: Vec<&[f64; 3]> = shifts.iter().filter(|t| near(0.0, t, 0) && near(1.0 / e, t, 1)).collect();
    let possible: Vec<usize> =
        (0..diagonal[1]).filter(|&f| second.iter().any(|t| near(-(f as f64) / (e * g), t, 2))).collect();
    let first: Vec<&[f64; 3]> = shifts.iter().filter(|t| near(1.0 / a, t, 0)).collect();
    if possible.is_empty() || first.is_empty() {
        return Ok(None);
    }
    for b in 0..diagonal[0] {
        let first: Vec<_> = first.iter().filter(|t| near(-(b as f64) / (a * e), t, 1)).collect();
        if first.is_empty() {
            continue;
        }
        for c in 0..diagonal[0] {
            for &f in &possible {
                let z = (b as f64 * f as f64 - c as f64 * e) / (a * e * g);
                if first.iter().any(|t| near(z, t, 2)) {
                    let division = Division { size, diagonal, above: [b, c, f] };
                    if let Some(found) = divide(s, groups, &division, merge)? {
                        return Ok(Some(found));
                    }
                }
            }
        }
    }
    Ok(None)
}

/// Divides the cell, or tells that its sites do not fall into groups of equal size.
fn divide(
    s: &Structure,
    groups: &[Group],
    division: &Division,
    tolerance: f64,
) -> Result<Option<Structure>, ReductionError> {
    let ([a, e, g], [b, c, f]) = (division.diagonal.map(|x| x as f64), division.above.map(|x| x as f64));
    let inverse = nalgebra::Matrix3::new(
        1.0 / a,
        -b / (a * e),
        (b * f - c * e) / (a * e * g),
        0.0,
        1.0 / e,
        -f / (e * g),
        0.0,
        0.0,
        1.0 / g,
    );
    let lattice = Lattice::from_matrix(inverse * s.lattice.matrix())?;
    let apart = s.lattice.lengths().map(|l| 2.0 * tolerance / l);
    let tolerance = lattice.lengths().map(|l| tolerance / l);
    let (mut species, mut coords) = (Vec::new(), Vec::new());
    for group in groups {
        let moved: Vec<[f64; 3]> = group
            .frac
            .iter()
            .map(|x| [x[0] * a, x[0] * b + x[1] * e, x[0] * c + x[1] * f + x[2] * g])
            .collect();
        let merges = |i: usize, j: usize| {
            // Neighbors in the given cell never become one site.
            let far = (0..3).any(|k| nearest(group.frac[i][k] - group.frac[j][k]).abs() > apart[k]);
            (i == j || far) && within(moved[i], moved[j], tolerance)
        };
        let Some(classes) = classes(moved.len(), division.size, merges) else { return Ok(None) };
        for class in classes {
            species.push(group.element);
            coords.push(average(&moved, &class));
        }
    }
    // Fewer sites of the same elements at finite coordinates make a structure.
    Ok(Structure::new(lattice, species, coords).ok())
}

/// Groups of `size` sites that all merge with each other; `None` when the `n` sites do not divide that way.
fn classes(n: usize, size: usize, merges: impl Fn(usize, usize) -> bool) -> Option<Vec<Vec<usize>>> {
    let mut partners = Vec::with_capacity(n);
    for i in 0..n {
        let row: Vec<usize> = (0..n).filter(|&j| merges(i, j)).collect();
        if row.len() != size {
            return None;
        }
        partners.push(row);
    }
    let mut classes = Vec::with_capacity(n / size);
    for (i, row) in partners.iter().enumerate() {
        // Merging is an equivalence exactly when the partners of a site have the same partners.
        if row.iter().any(|&j| partners[j] != *row) {
            return None;
        }
        if row[0] == i {
            classes.push(row.clone());
        }
    }
    Some(classes)
}

/// Running average of coinciding sites, each taken at the image nearest to the average so far.
fn average(moved: &[[f64; 3]], class: &[usize]) -> [f64; 3] {
    let mut mean = moved[class[0]].map(wrap_unit);
    for (count, &i) in class.iter().enumerate().skip(1) {
        for k in 0..3 {
            mean[k] += nearest(wrap_unit(moved[i][k]) - mean[k]) / (count + 1) as f64;
        }
    }
    mean
}
