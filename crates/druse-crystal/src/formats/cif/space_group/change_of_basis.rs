//! Changes of origin and axes at the end of Hall symbols: `(0 0 4)`, `(x-y,x+y,z)`.

use nalgebra::{Matrix3, Vector3};

use crate::symmetry::group::{IDENTITY, close, same_group};
use crate::{SymmetryOperation, wrap_unit};

/// Operations of the largest space group in its conventional cell, and room for a cell some times larger.
const LARGEST_IN_NEW_CELL: usize = 1536;

/// Largest coefficient and shift.
const LARGEST_NUMBER: f64 = 12.0;

/// Largest departure of what has to be a whole number.
const ROUNDING: f64 = 1e-6;

/// New coordinates of a point: `x' = V x + v`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ChangeOfBasis {
    matrix: Matrix3<f64>,
    shift: Vector3<f64>,
}

impl ChangeOfBasis {
    /// Reads what stands between the parentheses: a shift in twelfths of the edges, or new coordinates as sums of
    /// old ones.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.replace('_', " ");
        let (matrix, shift) = if text.contains(['x', 'y', 'z']) {
            let parts: Vec<&str> = text.split(',').collect();
            let [x, y, z] = parts[..] else { return Err("a change of basis has three parts".into()) };
            let rows = [row(x)?, row(y)?, row(z)?];
            (Matrix3::from_fn(|i, j| rows[i].0[j]), Vector3::from(rows.map(|r| r.1)))
        } else {
            // `(004)` lacks its blanks.
            let three_digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
            let text = if three_digits { [&text[..1], &text[1..2], &text[2..]].join(" ") } else { text };
            let numbers: Vec<f64> = text
                .split([' ', ','])
                .filter(|word| !word.is_empty())
                .map(|word| {
                    word.parse::<i32>()
                        .map(f64::from)
                        .map_err(|_| format!("`{word}` is no shift in twelfths"))
                })
                .collect::<Result<_, _>>()?;
            let [x, y, z] = numbers[..] else { return Err("a shift of the origin has three parts".into()) };
            if numbers.iter().any(|n| n.abs() > LARGEST_NUMBER) {
                return Err("a shift of the origin is larger than the cell".into());
            }
            (Matrix3::identity(), Vector3::new(x, y, z) / 12.0)
        };
        Ok(Self { matrix, shift })
    }

    /// The group in the new coordinates.
    pub fn apply(&self, group: &[SymmetryOperation]) -> Result<Vec<SymmetryOperation>, String> {
        let smaller = || String::from("its change of basis leads to a cell that is none of the lattice");
        let inverse = self
            .matrix
            .try_inverse()
            .filter(|inverse| inverse.amax() <= LARGEST_NUMBER)
            .ok_or("its change of basis cannot be reversed")?;
        let mut generators = Vec::new();
        let translation = |t: Vector3<f64>| SymmetryOperation {
            translation: t.map(|x| wrap_unit(snap(x))).into(),
            ..IDENTITY
        };
        for i in 0..3 {
            let edge = translation(inverse.column(i).into());
            if group.iter().all(|op| !same_group(&[*op], &[edge])) {
                return Err(smaller());
            }
            generators.push(translation(self.matrix.column(i).into()));
        }
        for op in group {
            let old = Matrix3::from_fn(|i, j| f64::from(op.rotation[i][j]));
            let new = self.matrix * old * inverse;
            let rotation = new.map(|x| x.round() as i32);
            if (new - rotation.map(f64::from)).amax() > ROUNDING {
                return Err(smaller());
            }
            let shift = self.shift + self.matrix * Vector3::from(op.translation) - new * self.shift;
            generators.push(SymmetryOperation {
                rotation: std::array::from_fn(|i| std::array::from_fn(|j| rotation[(i, j)])),
                translation: shift.map(|x| wrap_unit(snap(x))).into(),
            });
        }
        close(&generators, LARGEST_IN_NEW_CELL)
            .ok_or_else(|| "its change of basis leads to a huge cell".into())
    }
}

/// Rounds away floating-point noise on multiples of 1/24.
pub(super) fn snap(t: f64) -> f64 {
    let rounded = (t * 24.0).round() / 24.0;
    if (t - rounded).abs() < 1e-9 { rounded } else { t }
}

/// One new coordinate: a sum of terms `±n/m`, `±x`, `±n/m x`, `±n/m*x`, `±x/m`.
fn row(text: &str) -> Result<([f64; 3], f64), String> {
    let text: String = text.chars().filter(|c| !c.is_whitespace() && *c != '*').collect();
    let wrong = || format!("`{text}` is no part of a change of basis");
    let (mut row, mut shift) = ([0.0; 3], 0.0);
    let mut rest = text.as_str();
    let mut first = true;
    while !rest.is_empty() || first {
        let sign = match rest.as_bytes().first() {
            Some(b'+') => 1.0,
            Some(b'-') => -1.0,
            Some(_) if first => 1.0,
            _ => return Err(wrong()),
        };
        let body = rest.trim_start_matches(['+', '-']);
        if rest.len() - body.len() > 1 {
            return Err(wrong());
        }
        let (term, after) = body.split_at(body.find(['+', '-']).unwrap_or(body.len()));
        let axis = term.find(['x', 'y', 'z']);
        let (before, behind) = match axis {
            Some(i) => (&term[..i], &term[i + 1..]),
            None => (term, ""),
        };
        let mut value = match (before, axis) {
            ("", Some(_)) => 1.0,
            _ => fraction(before).ok_or_else(wrong)?,
        };
        if !behind.is_empty() {
            let divisor = behind.strip_prefix('/').and_then(fraction).ok_or_else(wrong)?;
            value /= divisor;
        }
        if !value.is_finite() || value > LARGEST_NUMBER {
            return Err(wrong());
        }
        match axis {
            Some(i) => row[usize::from(term.as_bytes()[i] - b'x')] += sign * value,
            None => shift += sign * value,
        }
        rest = after;
        first = false;
    }
    Ok((row, shift))
}

/// `3`, `1/2`, `0.25`.
fn fraction(text: &str) -> Option<f64> {
    let number = |text: &str| {
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        text.parse::<f64>().ok().filter(|_| plain)
    };
    match text.split_once('/') {
        Some((n, m)) => Some(number(n)? / number(m)?),
        None => number(text),
    }
}
