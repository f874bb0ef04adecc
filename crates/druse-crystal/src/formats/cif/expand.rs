//! Applies symmetry operations to the sites of the asymmetric unit.
//!
//! A site on a special position is its own image under some operations, as far as its coordinates are exact. Files round them:
//! 1/3, 2/3 becomes 0.33, 0.67, and the images lie some hundredths of an Å apart. Images nearer than [`SAME_ATOM_DISTANCE`] are
//! one atom. Where the rounding alone explains more, the site is put on the special position; where it does not, the stated
//! multiplicities and the stated content decide.

use super::content::{Stated, multiplicities_agree};
use super::lexer::shorten;
use super::sites::Site;
use super::symmetry::IDENTITY;
use crate::formats::error::{FormatError, FormatErrorKind};
use crate::formats::site::{self, MAX_SITES};
use crate::formats::warning::Labels;
use crate::formats::{Warning, WarningKind, coincident_sites};
use crate::{Lattice, Structure, SymmetryOperation, wrap_unit};

/// Images of one site under symmetry closer than this (Å) are one atom on a special position,
/// whose coordinates were rounded in the file.
const SAME_ATOM_DISTANCE: f64 = 0.05;

/// Images of one fully occupied site that are closer than this (Å) cannot be two atoms.
const IMPOSSIBLE_DISTANCE: f64 = 0.5;

/// Distances (Å) within which a special position is looked for where the stated content asks for one.
const WIDER_DISTANCES: [f64; 5] = [0.1, 0.2, 0.3, 0.5, 0.7];

/// Coordinates are taken to be rounded to no fewer decimals: `0.5` is a half and not something from 0.45 to 0.55.
const LEAST_DECIMALS: u8 = 2;

/// A site moved by less than this (Å) was on its special position but for the digits of numbers.
const NOTHING: f64 = 1e-6;

/// A move by more than this (Å) is told.
const WORTH_TELLING: f64 = 1e-3;

/// The atoms of a cell with the sites they came from.
pub(super) struct Expanded {
    pub structure: Structure,
    /// Index of the site of each atom.
    pub origin: Vec<usize>,
    /// Whether they are as many as stated, where something is stated: by the multiplicity of each site, by formula and Z.
    pub by_multiplicity: Option<bool>,
    pub by_content: Option<bool>,
    /// Sites that were put on special positions, with the distance (Å).
    moved: Vec<(usize, f64)>,
    /// Sites that are images of earlier ones.
    repeated: usize,
    /// The first site with images too close to be two atoms, with their distance (Å).
    close: Option<(usize, f64)>,
}

impl Expanded {
    /// Whether multiplicities or content agree with what is stated, if anything is.
    pub fn agrees(&self) -> Option<bool> {
        match (self.by_multiplicity, self.by_content) {
            (None, None) => None,
            (a, b) => Some(a == Some(true) || b == Some(true)),
        }
    }

    /// What is to be said about special positions.
    pub fn warnings(&self, sites: &[Site], warnings: &mut Vec<Warning>) {
        let mut told = Labels::default();
        for &(i, d) in self.moved.iter().filter(|(_, d)| *d > WORTH_TELLING) {
            told.push(&format!("{} (by {d:.3} Å)", shorten(sites[i].label)));
        }
        if let Some(told) = told.text() {
            let text = format!("rounded coordinates set to special positions: {told}");
            warnings.push(Warning::new(WarningKind::SpecialPosition, text));
        }
        if self.repeated > 0 {
            let text = format!("{} listed sites are images of others and were left out", self.repeated);
            warnings.push(Warning::new(WarningKind::Merged, text));
        }
        if let Some((i, d)) = self.close {
            let label = shorten(sites[i].label);
            let text = format!("images of site {label} are {d:.3} Å apart: too close for two atoms");
            warnings.push(Warning::new(WarningKind::CloseAtoms, text));
        }
    }
}

/// The images of a site.
#[derive(Clone)]
struct Orbit {
    images: Vec<[f64; 3]>,
    /// How far (Å) the site was moved.
    moved: f64,
}

/// What surrounds the sites.
struct Frame<'a> {
    lattice: Lattice,
    operations: &'a [SymmetryOperation],
    tolerance: [f64; 3],
}

impl Frame<'_> {
    /// The images of a point: those nearer than [`SAME_ATOM_DISTANCE`] to an earlier one are the same atom.
    fn orbit(&self, frac: [f64; 3]) -> Vec<[f64; 3]> {
        let mut images: Vec<[f64; 3]> = Vec::new();
        for operation in self.operations {
            let image = operation.apply(frac).map(wrap_unit);
            let known = images.iter().any(|&other| {
                let (lattice, limit) = (&self.lattice, SAME_ATOM_DISTANCE);
                site::distance_below(lattice, self.tolerance, limit, image, other).is_some()
            });
            if !known {
                images.push(image);
            }
        }
        images
    }

    /// Distance (Å) of the nearest other image, for images that a group makes: the same for each.
    fn nearest_image(&self, images: &[[f64; 3]]) -> f64 {
        let Some((&first, others)) = images.split_first() else { return f64::INFINITY };
        others.iter().map(|&other| self.length(shortest(first, other))).fold(f64::INFINITY, f64::min)
    }

    fn length(&self, difference: [f64; 3]) -> f64 {
        self.lattice.to_cartesian(difference).iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    /// The point that all operations leave fixed for which `fixes` says so of their shift of the site: the mean of its
    /// images under them. `None` when only the identity does, or when the operations have no such point.
    fn special_position(
        &self,
        frac: [f64; 3],
        fixes: impl Fn(&SymmetryOperation, [f64; 3]) -> bool,
    ) -> Option<Orbit> {
        let shift = |operation: &SymmetryOperation, x: [f64; 3]| shortest(operation.apply(x), x);
        let fixing: Vec<&SymmetryOperation> =
            self.operations.iter().filter(|op| fixes(op, shift(op, frac))).collect();
        if fixing.len() < 2 {
            return None;
        }
        let mut point = frac;
        // The operations of a group have their common point after one step; those near several points after a few, or never.
        for _ in 0..8 {
            let mut mean = [0.0; 3];
            for operation in &fixing {
                let d = shift(operation, point);
                (0..3).for_each(|k| mean[k] += d[k] / fixing.len() as f64);
            }
            point = std::array::from_fn(|k| point[k] + mean[k]);
        }
        if fixing.iter().any(|op| self.length(shift(op, point)) > NOTHING) {
            return None;
        }
        let moved = self.length(std::array::from_fn(|k| point[k] - frac[k]));
        Some(Orbit { images: self.orbit(point.map(snapped)), moved })
    }

    /// The special position that the rounding of the coordinates allows; where the images as given are too close to each
    /// other, also the one that digits cut off allow.
    fn rounded(&self, site: &Site, given: &Orbit) -> Option<Orbit> {
        self.within_digits(site, 0.5).or_else(|| {
            let impossible = self.nearest_image(&given.images) < IMPOSSIBLE_DISTANCE;
            impossible.then(|| self.within_digits(site, 1.0)).flatten()
        })
    }

    /// The special position within so many units of the last digit.
    fn within_digits(&self, site: &Site, units: f64) -> Option<Orbit> {
        let unit = |d: u8| 10f64.powi(-i32::from(d.max(LEAST_DECIMALS)));
        let error = site.decimals().map(|d| (units + 1e-4) * unit(d));
        self.special_position(site.frac, |operation, shift| {
            (0..3).all(|i| {
                let reach: f64 = (0..3)
                    .map(|j| f64::from((operation.rotation[i][j] - i32::from(i == j)).abs()) * error[j])
                    .sum();
                shift[i].abs() <= reach + 1e-9
            })
        })
    }

    /// The special position whose operations move the site by no more than a distance (Å).
    fn within(&self, frac: [f64; 3], distance: f64) -> Option<Orbit> {
        self.special_position(frac, |_, shift| self.length(shift) <= distance)
    }
}

/// The difference of two points to the nearest lattice translation of each axis.
fn shortest(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|k| {
        let d = a[k] - b[k];
        d - d.round()
    })
}

/// A coordinate that a mean of images leaves next to a multiple of 1/24 is that.
fn snapped(x: f64) -> f64 {
    let rounded = (x * 24.0).round() / 24.0;
    if (x - rounded).abs() < 1e-9 { rounded } else { x }
}

/// Applies the operations to the sites and orders the atoms. Sites that stand for special positions are put there.
///
/// # Errors
/// Too many atoms; a site whose multiplicity and the stated content contradict each other about its position.
pub(super) fn expand(
    lattice: Lattice,
    sites: &[Site],
    operations: &[SymmetryOperation],
    stated: &Stated,
) -> Result<Expanded, FormatError> {
    if let [only] = operations
        && *only == IDENTITY
    {
        return as_listed(&lattice, sites, stated);
    }
    let tolerance = site::tolerance_frac(&lattice, SAME_ATOM_DISTANCE);
    let frame = Frame { lattice, operations, tolerance };
    let mut given = Vec::with_capacity(sites.len());
    let mut total = 0;
    for s in sites {
        let images = frame.orbit(s.frac);
        total += images.len();
        if total > MAX_SITES {
            return Err(FormatError::at(s.line, FormatErrorKind::TooManySites));
        }
        given.push(Orbit { images, moved: 0.0 });
    }
    let choice = choose(&frame, sites, &given, stated)?;
    let mut expanded = assemble(&frame.lattice, sites, choice, stated)?;
    let coincide = coincident_sites(&expanded.structure);
    if coincide.is_some_and(|(i, j, _)| expanded.origin[i] != expanded.origin[j]) {
        let mut orbits = choose(&frame, sites, &given, stated)?;
        let repeated = empty_repeated(&frame, sites, &mut orbits);
        expanded = Expanded { repeated, ..assemble(&frame.lattice, sites, orbits, stated)? };
    }
    if expanded.agrees() == Some(false) {
        let choice = choose(&frame, sites, &given, stated)?;
        expanded = wider(&frame, sites, &choice, stated)?.unwrap_or(expanded);
    }
    let of_site = |i: usize| -> Vec<[f64; 3]> {
        let atoms = expanded.origin.iter().zip(&expanded.structure.frac_coords);
        atoms.filter(|(o, _)| **o == i).map(|(_, f)| *f).collect()
    };
    let close = (0..sites.len())
        // Only a site whose given images are close can have close ones at the end.
        .filter(|&i| frame.nearest_image(&given[i].images) < IMPOSSIBLE_DISTANCE)
        .map(|i| (i, frame.nearest_image(&of_site(i))))
        .find(|&(_, d)| d < IMPOSSIBLE_DISTANCE);
    expanded.close = close;
    Ok(expanded)
}

/// Empties the orbits of sites that are images of an earlier one of their element: some files list all atoms of the cell
/// although they give its symmetry. Returns the number of such sites.
fn empty_repeated(frame: &Frame, sites: &[Site], orbits: &mut [Orbit]) -> usize {
    /// Pairs of a site and an image that are compared.
    const MAX_COMPARED: usize = 20_000_000;
    let images: usize = orbits.iter().map(|o| o.images.len()).sum();
    if images.saturating_mul(sites.len()) > MAX_COMPARED {
        return 0;
    }
    let mut repeated = 0;
    for i in 1..sites.len() {
        let Some(&here) = orbits[i].images.first() else { continue };
        let same = |image: &[f64; 3]| {
            let (lattice, limit) = (&frame.lattice, SAME_ATOM_DISTANCE);
            site::distance_below(lattice, frame.tolerance, limit, *image, here).is_some()
        };
        let earlier = (0..i).filter(|&k| sites[k].element == sites[i].element);
        if earlier.into_iter().any(|k| orbits[k].images.iter().any(same)) {
            orbits[i].images.clear();
            repeated += 1;
        }
    }
    repeated
}

/// For each site its images as given, or those of the special position that rounding explains.
fn choose(
    frame: &Frame,
    sites: &[Site],
    given: &[Orbit],
    stated: &Stated,
) -> Result<Vec<Orbit>, FormatError> {
    let mut choice = given.to_vec();
    let mut open: Vec<(usize, Orbit)> = Vec::new();
    for (i, (s, given)) in sites.iter().zip(given).enumerate() {
        // A general position has nothing near it.
        let Some(rounded) = frame.rounded(s, given).filter(|r| r.moved > NOTHING) else { continue };
        let fewer = rounded.images.len() < given.images.len();
        match s.multiplicity {
            _ if !fewer => choice[i] = rounded,
            Some(m) if m == rounded.images.len() || m == given.images.len() => {
                let content = |orbit: &Orbit| {
                    let mut with = choice.clone();
                    with[i] = orbit.clone();
                    Ok::<_, FormatError>(assemble(&frame.lattice, sites, with, stated)?.by_content)
                };
                let (stated_one, other) =
                    if m == rounded.images.len() { (&rounded, given) } else { (given, &rounded) };
                // Later sites may be open as well, so that only a content that the other choice alone gives speaks.
                if content(other)? == Some(true) && content(stated_one)? == Some(false) {
                    return Err(contradiction(
                        s,
                        m,
                        &format!("the stated formula wants {}", other.images.len()),
                    ));
                }
                choice[i] = stated_one.clone();
            }
            _ => open.push((i, rounded)),
        }
    }
    if open.is_empty() {
        return Ok(choice);
    }
    let mut on_position = choice.clone();
    for (i, rounded) in &open {
        on_position[*i] = rounded.clone();
    }
    let by_content = |orbits: &Vec<Orbit>| {
        assemble(&frame.lattice, sites, orbits.clone(), stated).map(|expanded| expanded.by_content)
    };
    match (by_content(&on_position)?, by_content(&choice)?) {
        (Some(true), _) => Ok(on_position),
        (_, Some(true)) => Ok(choice),
        _ => {
            for (i, rounded) in open {
                if frame.nearest_image(&given[i].images) < IMPOSSIBLE_DISTANCE {
                    if let Some(m) = sites[i].multiplicity {
                        let (a, b) = (rounded.images.len(), given[i].images.len());
                        let why =
                            format!("its coordinates allow {a}, or {b} that are too close to each other");
                        return Err(contradiction(&sites[i], m, &why));
                    }
                    choice[i] = rounded;
                }
            }
            Ok(choice)
        }
    }
}

fn contradiction(site: &Site, multiplicity: usize, why: &str) -> FormatError {
    let message = format!(
        "site {} is said to stand for {multiplicity} atoms, but {why}; give its coordinates with more decimals or \
         correct the multiplicity",
        shorten(site.label)
    );
    FormatError::at(site.line, FormatErrorKind::Symmetry(message))
}

/// The special positions nearest to the sites with which multiplicities or content are as stated, if any are.
fn wider(
    frame: &Frame,
    sites: &[Site],
    choice: &[Orbit],
    stated: &Stated,
) -> Result<Option<Expanded>, FormatError> {
    for distance in WIDER_DISTANCES {
        let mut orbits = choice.to_vec();
        let mut changed = false;
        for (i, s) in sites.iter().enumerate() {
            let near = frame.within(s.frac, distance).filter(|o| o.images.len() < choice[i].images.len());
            let wanted = near.filter(|o| s.multiplicity.is_none_or(|m| m == o.images.len()));
            if let Some(orbit) = wanted {
                orbits[i] = orbit;
                changed = true;
            }
        }
        if changed {
            let expanded = assemble(&frame.lattice, sites, orbits, stated)?;
            if expanded.agrees() == Some(true) && expanded.by_content != Some(false) {
                return Ok(Some(expanded));
            }
        }
    }
    Ok(None)
}

/// The structure of the sites themselves.
fn as_listed(lattice: &Lattice, sites: &[Site], stated: &Stated) -> Result<Expanded, FormatError> {
    let atoms = sites.iter().enumerate().map(|(i, s)| (i, s.frac)).collect();
    build(lattice, sites, atoms, &vec![1; sites.len()], Vec::new(), stated)
}

/// The structure of these images.
fn assemble(
    lattice: &Lattice,
    sites: &[Site],
    orbits: Vec<Orbit>,
    stated: &Stated,
) -> Result<Expanded, FormatError> {
    let counts: Vec<usize> = orbits.iter().map(|o| o.images.len()).collect();
    let mut atoms: Vec<(usize, [f64; 3])> = Vec::with_capacity(counts.iter().sum());
    let mut moved = Vec::new();
    for (i, orbit) in orbits.into_iter().enumerate() {
        if orbit.moved > NOTHING {
            moved.push((i, orbit.moved));
        }
        atoms.extend(orbit.images.into_iter().map(|f| (i, f)));
    }
    build(lattice, sites, atoms, &counts, moved, stated)
}

/// The structure of these atoms, ordered by electronegativity; `counts`: how many stand for each site.
fn build(
    lattice: &Lattice,
    sites: &[Site],
    mut atoms: Vec<(usize, [f64; 3])>,
    counts: &[usize],
    moved: Vec<(usize, f64)>,
    stated: &Stated,
) -> Result<Expanded, FormatError> {
    atoms.sort_by(|a, b| sites[a.0].element.cmp_electronegativity(sites[b.0].element));
    let species = atoms.iter().map(|&(i, _)| sites[i].element).collect();
    let coords = atoms.iter().map(|&(_, f)| f).collect();
    let mut structure = Structure::new(*lattice, species, coords)
        .map_err(|e| FormatError::whole(FormatErrorKind::from(e)))?;
    structure.labels = atoms.iter().map(|&(i, _)| sites[i].label.to_owned()).collect();
    let by_content = stated.agrees(&structure);
    let by_multiplicity = multiplicities_agree(sites, counts);
    let origin = atoms.into_iter().map(|(i, _)| i).collect();
    Ok(Expanded { structure, origin, by_multiplicity, by_content, moved, repeated: 0, close: None })
}
