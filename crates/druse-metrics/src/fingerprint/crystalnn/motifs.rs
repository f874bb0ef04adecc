//! The coordination motifs of the fingerprint: layout and parameters.
//!
//! Numbers from matminer 0.10's preset `ops` (`cn_target_motif_op.yaml`, `cn_motif_op_params.yaml`) with the defaults
//! of pymatgen's `LocalStructOrderParams` (N. E. R. Zimmermann, A. Jain, RSC Adv. 10, 6063 (2020)).

use std::f64::consts::PI;

/// Largest coordination number of the fingerprint.
pub(super) const MAX_CN: usize = 24;

/// 135° in radians.
const DEGREES_135: f64 = 2.356194490192345;

/// One order parameter. Angles called `target` are fractions of 180°, widths are inverse standard deviations in these
/// units, thresholds are in radians, `harmonic` is the h of (1 + cos hφ) / 2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Single bond: one neighbor much nearer than the next.
    SingleBond,
    /// A single angle.
    Bent { target: f64, width: f64 },
    /// All angles at the target and azimuths at multiples of a turn over the harmonic.
    Regular { target: f64, width: f64, harmonic: u8 },
    /// As `Regular`, with targets 0.4 and 0.8 for angles up to and beyond `split` (fraction of 180°).
    Pentagon { split: f64, width: f64 },
    /// Neighbors opposite to the pole, or on its equator at regular azimuths.
    Polar { opposite: f64, opposite_width: f64, equator: Equator, harmonic: u8, max_azimuth: f64 },
    /// Cuboctahedron.
    Cuboctahedron {
        opposite: f64,
        opposite_width: f64,
        weight: f64,
        low: f64,
        high: f64,
        equator_width: f64,
        cap_width: f64,
    },
    /// Body-centered cube.
    Cube { opposite: f64, opposite_width: f64, weight: f64 },
    /// Steinhardt's bond orientational order parameter of this degree.
    Steinhardt(u8),
}

/// Where neighbors that are not opposite to the pole are expected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Equator {
    /// At 90°.
    Right { width: f64 },
    /// At 90° plus or minus an offset (fraction of 180°).
    Offset { offset: f64, width: f64 },
}

/// A motif: its name and order parameter.
pub(super) type Motif = (&'static str, Kind);

const fn bent(target: f64, width: f64) -> Kind {
    Kind::Bent { target, width }
}

/// Any angle, for `max_azimuth`.
const ANY: f64 = f64::INFINITY;

const fn bipyramid(opposite_width: f64, width: f64, harmonic: u8) -> Kind {
    let equator = Equator::Right { width };
    Kind::Polar { opposite: DEGREES_135, opposite_width, equator, harmonic, max_azimuth: ANY }
}

const fn pyramid(width: f64, harmonic: u8) -> Kind {
    Kind::Regular { target: 0.5, width, harmonic }
}

/// Cosine of the tetrahedron's angle is −1/3; the angle as a fraction of 180°.
const TETRAHEDRON: f64 = 0.6081734479693927;

const STEINHARDT: [Motif; 3] =
    [("q2", Kind::Steinhardt(2)), ("q4", Kind::Steinhardt(4)), ("q6", Kind::Steinhardt(6))];

const CN_1: &[Motif] = &[("sgl_bd", Kind::SingleBond)];
const CN_2: &[Motif] = &[
    ("L-shaped", bent(0.5, 15.15)),
    ("water-like", bent(0.5802777777777778, 13.95)),
    ("bent 120 degrees", bent(0.666666666667, 13.25)),
    ("bent 150 degrees", bent(0.833333333333333, 12.45)),
    ("linear", bent(1.0, 8.667)),
];
const CN_3: &[Motif] = &[
    ("trigonal planar", Kind::Regular { target: 0.66666666667, width: 17.5, harmonic: 2 }),
    ("trigonal non-coplanar", Kind::Regular { target: TETRAHEDRON, width: 18.33, harmonic: 3 }),
    ("T-shaped", pyramid(15.5, 2)),
];
const CN_4: &[Motif] = &[
    ("square co-planar", bipyramid(13.5, 17.7, 2)),
    ("tetrahedral", Kind::Regular { target: TETRAHEDRON, width: 18.5, harmonic: 3 }),
    (
        "rectangular see-saw-like",
        Kind::Polar {
            opposite: DEGREES_135,
            opposite_width: 11.5,
            equator: Equator::Right { width: 27.0 },
            harmonic: 4,
            max_azimuth: 0.75 * PI,
        },
    ),
    ("see-saw-like", bipyramid(12.75, 15.75, 3)),
    ("trigonal pyramidal", pyramid(15.5, 3)),
];
const CN_5: &[Motif] = &[
    ("pentagonal planar", Kind::Pentagon { split: 0.6, width: 19.333 }),
    ("square pyramidal", pyramid(14.9, 4)),
    ("trigonal bipyramidal", bipyramid(12.0, 16.6, 3)),
];
const CN_6: &[Motif] = &[
    (
        "hexagonal planar",
        Kind::Polar {
            opposite: 2.6179938779914944,
            opposite_width: 7.5,
            equator: Equator::Offset { offset: 0.16666667, width: 25.0 },
            harmonic: 2,
            max_azimuth: ANY,
        },
    ),
    ("octahedral", bipyramid(15.0, 18.0, 4)),
    ("pentagonal pyramidal", pyramid(13.8, 5)),
];
const CN_7: &[Motif] =
    &[("hexagonal pyramidal", pyramid(12.5, 6)), ("pentagonal bipyramidal", bipyramid(12.5, 14.75, 5))];
const CN_8: &[Motif] = &[
    ("body-centered cubic", Kind::Cube { opposite: 2.5261129449194057, opposite_width: 15.0, weight: 6.0 }),
    ("hexagonal bipyramidal", bipyramid(14.1, 13.6, 6)),
];
const CN_12: &[Motif] = &[
    (
        "cuboctahedral",
        Kind::Cuboctahedron {
            opposite: 2.792526803190927,
            opposite_width: 28.75,
            weight: 1.8,
            low: 1.3089969389957472,
            high: 1.8325957145940461,
            equator_width: 25.5,
            cap_width: 31.25,
        },
    ),
    STEINHARDT[0],
    STEINHARDT[1],
    STEINHARDT[2],
];

/// Motifs of a coordination number, in the order of the fingerprint.
pub(super) fn motifs(cn: usize) -> &'static [Motif] {
    match cn {
        1 => CN_1,
        2 => CN_2,
        3 => CN_3,
        4 => CN_4,
        5 => CN_5,
        6 => CN_6,
        7 => CN_7,
        8 => CN_8,
        9..=11 => &STEINHARDT,
        12 => CN_12,
        _ => &[],
    }
}
