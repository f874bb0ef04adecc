//! Voronoi cells of the sites of a crystal.

use crate::{
    Neighbor, Structure,
    coordination::{
        CoordinationError,
        polyhedron::{Ambiguous, Face, Polyhedron},
    },
    neighbors::{Frame, Images},
};

/// Two atoms closer than this (Å) have no plane between them.
const COINCIDENT: f64 = 1e-6;
/// An atom this little (Å) beyond the search radius still counts as inside it.
const ON_THE_SPHERE: f64 = 1e-8;
/// Most periodic images that are listed for one search radius: 60 MB of them.
const MAX_IMAGES: f64 = 1e6;
/// First shell of candidates in units of (volume per atom)^(1/3): reaches the last neighbor of most cells.
const FIRST_SHELL: f64 = 1.8;
/// A polyhedron that reaches farther than this (Å) still has corners at the end of the world, whose places are not known
/// well enough to tell whether a plane cuts them.
const FAR: f64 = 1e4;
/// Solid angles (sr) below this are those of edges and corners that several cells share.
const NO_FACET: f64 = 1e-13;

/// One facet of a Voronoi cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facet {
    /// The atom on the other side.
    pub neighbor: Neighbor,
    /// From the site to that atom (Å).
    pub vector: [f64; 3],
    /// Solid angle of the facet seen from the site, in steradians.
    pub solid_angle: f64,
    /// Area in Å².
    pub area: f64,
}

/// The points nearer to one site than to any other atom, as far as the search radius knows of atoms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoronoiCell<'a> {
    /// The facets of positive solid angle, nearest atom first.
    pub facets: &'a [Facet],
    /// Volume in Å³.
    pub volume: f64,
    /// Atoms farther than this (Å) were not looked at.
    pub radius: f64,
}

/// The Voronoi cells of one structure. Neighbor search and work space are shared by its sites.
///
/// The search radius is that of pymatgen's `VoronoiNN` as CrystalNN calls it: atoms beyond the cutoff are ignored even
/// where they would cut the cell; only when the cell is not closed is the cutoff doubled, up to the longest body
/// diagonal of the given cell.
pub struct Tessellation<'a> {
    structure: &'a Structure,
    frame: Frame,
    /// Images within the radii tried so far, smallest first.
    levels: Vec<(f64, Images)>,
    search_cutoff: f64,
    /// No radius beyond this one is tried (Å).
    max_cutoff: f64,
    /// No cell reaches atoms beyond this distance (Å): twice a bound of the covering radius of the lattice.
    reach: f64,
    first_shell: f64,
    polyhedron: Polyhedron,
    faces: Vec<Face>,
    squared: Vec<f64>,
    order: Vec<(u64, u32)>,
    facets: Vec<Facet>,
    /// Cuts of the polyhedron at work: place of the image in its level, level, squared distance.
    cuts: Vec<(u32, u32, f64)>,
    /// Planes that took nothing away from a polyhedron that reached far.
    doubtful: Vec<(u32, u32, f64)>,
}

impl<'a> Tessellation<'a> {
    /// Prepares the search for neighbors within `search_cutoff` (Å) and, where needed, beyond.
    ///
    /// # Errors
    /// [`CoordinationError::NotFinite`] for a coordinate or a cutoff that is no number.
    pub fn new(structure: &'a Structure, search_cutoff: f64) -> Result<Self, CoordinationError> {
        if let Some(site) = structure.frac_coords.iter().position(|f| f.iter().any(|x| !x.is_finite())) {
            return Err(CoordinationError::NotFinite { site });
        }
        let lattice = &structure.lattice;
        let diagonal = |c: [f64; 3]| length(lattice.to_cartesian(c));
        let longest = [[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0], [1.0, -1.0, 1.0], [1.0, 1.0, -1.0]]
            .into_iter()
            .map(diagonal)
            .fold(0.0, f64::max);
        let frame = Frame::new(lattice, &structure.frac_coords);
        let reach = frame.rows.iter().flatten().map(|x| x * x).sum::<f64>().sqrt() * (1.0 + 1e-9);
        Ok(Self {
            structure,
            frame,
            levels: Vec::new(),
            search_cutoff: search_cutoff.max(0.0),
            max_cutoff: longest + 0.01,
            reach: reach + ON_THE_SPHERE,
            first_shell: FIRST_SHELL * (lattice.volume() / structure.len().max(1) as f64).cbrt(),
            polyhedron: Polyhedron::default(),
            faces: Vec::new(),
            squared: Vec::new(),
            order: Vec::new(),
            facets: Vec::new(),
            cuts: Vec::new(),
            doubtful: Vec::new(),
        })
    }

    /// The structure whose cells these are.
    pub fn structure(&self) -> &'a Structure {
        self.structure
    }

    /// The Voronoi cell of site `i`.
    ///
    /// # Errors
    /// [`CoordinationError`] when there is no such site, another atom on the same spot, too few atoms around, more
    /// images than memory should hold, or planes that agree to within rounding.
    pub fn cell(&mut self, i: usize) -> Result<VoronoiCell<'_>, CoordinationError> {
        let sites = self.structure.len();
        if i >= sites {
            return Err(CoordinationError::NoSuchSite { site: i, sites });
        }
        self.polyhedron.reset();
        self.cuts.clear();
        self.doubtful.clear();
        let mut cutoff = self.search_cutoff;
        let mut searched = -1.0;
        for level in 0.. {
            let radius = (cutoff + ON_THE_SPHERE).min(self.reach);
            self.list_images(level, radius)?;
            searched = self.cut_within(i, level, searched, radius)?;
            if self.polyhedron.is_bounded() {
                break;
            }
            // Qhull knows no facets of an atom that belongs to a single tetrahedron of the Delaunay triangulation, and
            // CrystalNN gives up there instead of looking farther.
            if self.polyhedron.real_vertices() == 1 {
                return Err(CoordinationError::TooOpen { site: i, radius: cutoff });
            }
            if cutoff >= self.max_cutoff {
                return Err(CoordinationError::Unbounded { site: i, radius: cutoff });
            }
            cutoff = (2.0 * cutoff).min(self.max_cutoff + 0.001);
        }
        for k in 0..self.doubtful.len() {
            self.cut(i, self.doubtful[k])?;
        }
        Ok(self.measure(i, cutoff))
    }

    /// Cuts the polyhedron of site `i` at the bisector to one image; tells whether that took anything away.
    fn cut(&mut self, i: usize, (m, level, d2): (u32, u32, f64)) -> Result<bool, CoordinationError> {
        let (images, center) = (&self.levels[level as usize].1, self.frame.cart[i]);
        let at = m as usize;
        let point = [images.x[at] - center[0], images.y[at] - center[1], images.z[at] - center[2]];
        let tag = self.cuts.len() as u32;
        let cut = self
            .polyhedron
            .cut(point, d2, tag)
            .map_err(|Ambiguous| CoordinationError::Ambiguous { site: i })?;
        if cut {
            self.cuts.push((m, level, d2));
        }
        Ok(cut)
    }

    fn list_images(&mut self, level: usize, radius: f64) -> Result<(), CoordinationError> {
        if level < self.levels.len() {
            return Ok(());
        }
        let images = Images::expected(&self.frame, radius);
        if images.is_nan() || images > MAX_IMAGES {
            let sites = self.structure.len();
            return Err(CoordinationError::TooManyImages { images, sites, radius, limit: MAX_IMAGES });
        }
        self.levels.push((radius, Images::within(&self.frame, radius)));
        Ok(())
    }

    /// Cuts the polyhedron at the bisectors to all atoms farther than `searched` and no farther than `radius`, the
    /// nearest first, and stops when none of those left can reach it. Returns `radius`.
    fn cut_within(
        &mut self,
        i: usize,
        level: usize,
        mut searched: f64,
        radius: f64,
    ) -> Result<f64, CoordinationError> {
        let (frame, images) = (&self.frame, &self.levels[level].1);
        let center = frame.cart[i];
        let window = images.window(frame, i, radius);
        images.squared_distances(center, window.clone(), &mut self.squared);
        let mut shell = if searched < self.first_shell { self.first_shell.min(radius) } else { radius };
        while searched < radius {
            let (inner, outer) = (if searched < 0.0 { -1.0 } else { searched * searched }, shell * shell);
            self.order.clear();
            for (c, &d2) in self.squared.iter().enumerate() {
                if d2 <= outer && d2 > inner {
                    // Non-negative floats order as their bit patterns do.
                    self.order.push((d2.to_bits(), c as u32));
                }
            }
            self.order.sort_unstable();
            for k in 0..self.order.len() {
                let (frame, images) = (&self.frame, &self.levels[level].1);
                let (bits, c) = self.order[k];
                let (d2, m) = (f64::from_bits(bits), window.start + c as usize);
                if d2 < COINCIDENT * COINCIDENT {
                    if images.is_home(m, frame, i) {
                        continue;
                    }
                    let other = images.neighbor(frame, i, m, d2).site as usize;
                    return Err(CoordinationError::Coincident { site: i, other, distance: d2.sqrt() });
                }
                let reach = self.polyhedron.squared_radius();
                if d2 >= 4.0 * reach {
                    return Ok(radius);
                }
                let image = (m as u32, level as u32, d2);
                if !self.cut(i, image)? && reach > FAR * FAR {
                    self.doubtful.push(image);
                }
            }
            searched = shell;
            shell = (2.0 * self.polyhedron.squared_radius().sqrt()).min(radius);
            if shell <= searched {
                break;
            }
        }
        Ok(radius)
    }

    fn measure(&mut self, i: usize, radius: f64) -> VoronoiCell<'_> {
        self.polyhedron.faces(&mut self.faces);
        self.facets.clear();
        let mut six_volumes = 0.0;
        let center = self.frame.cart[i];
        for face in &self.faces {
            six_volumes += face.six_volumes;
            if face.solid_angle.is_nan() || face.solid_angle < NO_FACET {
                continue;
            }
            let (m, level, d2) = self.cuts[face.tag as usize];
            let (m, images) = (m as usize, &self.levels[level as usize].1);
            let neighbor = images.neighbor(&self.frame, i, m, d2);
            let vector = [images.x[m] - center[0], images.y[m] - center[1], images.z[m] - center[2]];
            // The pyramid's height is half the distance: area = 3 V / (d / 2).
            let area = face.six_volumes / neighbor.distance;
            self.facets.push(Facet { neighbor, vector, solid_angle: face.solid_angle, area });
        }
        VoronoiCell { facets: &self.facets, volume: six_volumes / 6.0, radius }
    }
}

fn length(v: [f64; 3]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}
