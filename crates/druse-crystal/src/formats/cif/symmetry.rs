//! Symmetry operations of a CIF: written out as `x,y,z`, or implied by a space-group symbol or number.

use std::fmt;
use std::str::FromStr;

use moyo::data::{HallSymbolEntry, Setting, hall_symbol_entry, operations_from_number};

use super::lexer::shorten;
use crate::Lattice;
use crate::formats::error::{FormatError, FormatErrorKind};

/// Most operations a file may list: those of the largest group in a cell of a few primitive ones, with room.
pub(super) const MAX_OPERATIONS: usize = 1536;

/// Decimal translations this close to a multiple of 1/24 are one (`0.3333`).
const TRANSLATION_ROUNDING: f64 = 1e-3;

/// Relative change of the metric tensor above which an operation does not belong to the cell. Generous, as cells are
/// sometimes given as measured.
const METRIC_TOLERANCE: f64 = 0.05;

/// A symmetry operation on fractional coordinates: `x' = R x + t`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SymmetryOperation {
    /// The matrix R, rows as in the first, second and third part of `x,y,z`; its determinant is ±1.
    pub rotation: [[i32; 3]; 3],
    /// The translation t in fractions of the cell vectors.
    pub translation: [f64; 3],
}

/// A text that is no symmetry operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an operation such as `-y, x-y, z+1/3`: {problem}")]
pub struct SymmetryOperationError {
    text: String,
    problem: &'static str,
}

impl SymmetryOperation {
    /// `x,y,z`
    pub const IDENTITY: Self = Self { rotation: [[1, 0, 0], [0, 1, 0], [0, 0, 1]], translation: [0.0; 3] };

    /// Whether this is `x,y,z`, without any translation.
    pub fn is_identity(&self) -> bool {
        *self == Self::IDENTITY
    }

    /// The image of a point, not wrapped.
    #[inline]
    pub fn apply(&self, x: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|i| {
            let r = self.rotation[i];
            f64::from(r[0]) * x[0] + f64::from(r[1]) * x[1] + f64::from(r[2]) * x[2] + self.translation[i]
        })
    }

    /// Whether the rotation leaves the cell's metric tensor unchanged within [`METRIC_TOLERANCE`].
    fn fits(&self, lattice: &Lattice) -> bool {
        let g = lattice.matrix() * lattice.matrix().transpose();
        let r = nalgebra::Matrix3::from_fn(|i, j| f64::from(self.rotation[i][j]));
        let image = r.transpose() * g * r;
        (0..3).all(|i| {
            (0..3).all(|j| {
                (image[(i, j)] - g[(i, j)]).abs() <= METRIC_TOLERANCE * (g[(i, i)] * g[(j, j)]).sqrt()
            })
        })
    }
}

impl FromStr for SymmetryOperation {
    type Err = SymmetryOperationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |problem| SymmetryOperationError { text: shorten(text), problem };
        let mut op = Self { rotation: [[0; 3]; 3], translation: [0.0; 3] };
        let mut parts = text.split(',');
        for i in 0..3 {
            let part = parts.next().ok_or_else(|| error("it needs three parts"))?;
            (op.rotation[i], op.translation[i]) = parse_part(part).map_err(error)?;
        }
        if parts.next().is_some() {
            return Err(error("it needs three parts"));
        }
        let r = op.rotation;
        let determinant = r[0][0] * (r[1][1] * r[2][2] - r[1][2] * r[2][1])
            - r[0][1] * (r[1][0] * r[2][2] - r[1][2] * r[2][0])
            + r[0][2] * (r[1][0] * r[2][1] - r[1][1] * r[2][0]);
        if determinant.abs() != 1 {
            return Err(error("it does not preserve the volume"));
        }
        Ok(op)
    }
}

/// One part of an operation: a sum of terms `±n/m`, `±x`, `±n x`.
fn parse_part(part: &str) -> Result<([i32; 3], f64), &'static str> {
    /// Largest coefficient of x, y, z and largest whole translation.
    const LARGEST: f64 = 10.0;
    let bytes = part.as_bytes();
    let (mut row, mut translation) = ([0i32; 3], 0.0);
    let mut pos = 0;
    let mut terms = 0;
    let skip_blank = |pos: &mut usize| {
        while bytes.get(*pos).is_some_and(u8::is_ascii_whitespace) {
            *pos += 1;
        }
    };
    let number = |pos: &mut usize| -> Result<f64, &'static str> {
        let start = *pos;
        while bytes.get(*pos).is_some_and(|b| b.is_ascii_digit() || *b == b'.') {
            *pos += 1;
        }
        part[start..*pos].parse().map_err(|_| "a number cannot be read")
    };
    loop {
        skip_blank(&mut pos);
        let Some(&byte) = bytes.get(pos) else { break };
        let mut sign = 1.0;
        match byte {
            b'+' | b'-' => {
                sign = if byte == b'-' { -1.0 } else { 1.0 };
                pos += 1;
                skip_blank(&mut pos);
            }
            _ if terms > 0 => return Err("a sign is missing between two terms"),
            _ => {}
        }
        let mut value = 1.0;
        let mut has_number = false;
        if bytes.get(pos).is_some_and(|b| b.is_ascii_digit() || *b == b'.') {
            has_number = true;
            let start = pos;
            value = number(&mut pos)?;
            if bytes.get(pos) == Some(&b'/') {
                pos += 1;
                value /= number(&mut pos)?;
            } else if part[start..pos].contains('.') {
                let rounded = (value * 24.0).round() / 24.0;
                if (value - rounded).abs() < TRANSLATION_ROUNDING {
                    value = rounded;
                }
            }
            if bytes.get(pos) == Some(&b'*') {
                pos += 1;
            }
        }
        if !value.is_finite() || value > LARGEST {
            return Err("a number is too large");
        }
        value *= sign;
        match bytes.get(pos).map(u8::to_ascii_lowercase) {
            Some(axis @ b'x'..=b'z') => {
                if value.fract() != 0.0 {
                    return Err("x, y and z take whole factors only");
                }
                row[usize::from(axis - b'x')] += value as i32;
                if row.iter().any(|c| f64::from(c.abs()) > LARGEST) {
                    return Err("a number is too large");
                }
                pos += 1;
            }
            _ if has_number => translation += value,
            _ => return Err("expected x, y, z or a number"),
        }
        terms += 1;
    }
    if terms == 0 { Err("a part is empty") } else { Ok((row, translation)) }
}

impl fmt::Display for SymmetryOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for i in 0..3 {
            let mut text = String::new();
            for (c, axis) in self.rotation[i].into_iter().zip(["x", "y", "z"]) {
                match c {
                    0 => continue,
                    1 if text.is_empty() => {}
                    1 => text.push('+'),
                    -1 => text.push('-'),
                    c if c > 0 && !text.is_empty() => text.push_str(&format!("+{c}")),
                    c => text.push_str(&c.to_string()),
                }
                text.push_str(axis);
            }
            let t = self.translation[i];
            let twentyfourths = (t * 24.0).round();
            if t != 0.0 && (t - twentyfourths / 24.0).abs() < 1e-9 {
                let n = twentyfourths as i64;
                let divisor = (1..=24).rev().find(|d| 24 % d == 0 && n % d == 0).unwrap_or(1);
                let (n, m) = (n / divisor, 24 / divisor);
                if n != 0 {
                    text.push_str(&if m == 1 { format!("{n:+}") } else { format!("{n:+}/{m}") });
                }
            } else if t != 0.0 {
                text.push_str(&format!("{t:+}"));
            }
            let text = if text.is_empty() { "0" } else { text.strip_prefix('+').unwrap_or(&text) };
            write!(f, "{}{text}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// Makes a listed set of operations usable: the identity comes first, every operation fits the cell.
pub(super) fn check_listed(
    mut operations: Vec<SymmetryOperation>,
    lattice: &Lattice,
    line: usize,
    notes: &mut Vec<String>,
) -> Result<Vec<SymmetryOperation>, FormatError> {
    match operations.iter().position(SymmetryOperation::is_identity) {
        Some(i) => operations[..=i].rotate_right(1),
        None => {
            notes.push("the list of symmetry operations lacks `x,y,z`; it was added".into());
            operations.insert(0, SymmetryOperation::IDENTITY);
        }
    }
    match operations.iter().find(|op| !op.is_identity() && !op.fits(lattice)) {
        None => Ok(operations),
        Some(op) => {
            let message = format!(
                "operation `{op}` changes the lengths or angles of the cell; one of the two is wrong"
            );
            Err(FormatError::at(line, FormatErrorKind::Symmetry(message)))
        }
    }
}

/// Operations of the space group that a file names by Hall symbol, Hermann–Mauguin symbol or number (each with its
/// line), in this order of preference. Among several settings the first that fits the cell is taken, beginning with the
/// standard one (unique axis b, hexagonal axes, origin choice 2).
pub(super) fn from_space_group(
    hall: Option<(&str, usize)>,
    hermann_mauguin: Option<(&str, usize)>,
    number: Option<(&str, usize)>,
    lattice: &Lattice,
    notes: &mut Vec<String>,
) -> Result<Vec<SymmetryOperation>, FormatError> {
    let error = |line, message: String| FormatError::at(line, FormatErrorKind::Symmetry(message));
    let number = match number {
        None => None,
        Some((text, line)) => match text.trim().parse::<i32>() {
            Ok(n @ 1..=230) => Some((n, line)),
            _ => return Err(error(line, format!("`{}` is no space-group number (1 to 230)", shorten(text)))),
        },
    };
    if let Some((symbol, line)) = hall {
        let wanted = normal_hall(symbol);
        match entries().find(|e| normal_hall(e.hall_symbol) == wanted) {
            Some(entry) => return choose(&[entry], symbol, line, lattice, notes),
            None => {
                notes.push(format!("Hall symbol `{}` is not tabulated and was not used", shorten(symbol)))
            }
        }
    }
    if let Some((symbol, line)) = hermann_mauguin {
        let candidates = match_hermann_mauguin(symbol);
        match (candidates.first(), number) {
            (Some(found), Some((n, _))) if found.number != n => {
                let symbol = shorten(symbol);
                let message =
                    format!("symbol `{symbol}` is space group {}, but the number given is {n}", found.number);
                return Err(error(line, message));
            }
            (Some(_), _) => return choose(&candidates, symbol, line, lattice, notes),
            (None, None) => return Err(error(line, format!("unknown space group `{}`", shorten(symbol)))),
            (None, Some(_)) => {
                notes.push(format!(
                    "space-group symbol `{}` is not known; the number was used",
                    shorten(symbol)
                ));
            }
        }
    }
    if let Some((n, line)) = number {
        let candidates = standard_first(entries().filter(|e| e.number == n).collect());
        return choose(&candidates, &n.to_string(), line, lattice, notes);
    }
    notes.push("no symmetry given; read as P 1".into());
    Ok(vec![SymmetryOperation::IDENTITY])
}

fn entries() -> impl Iterator<Item = HallSymbolEntry> {
    (1..=530).filter_map(hall_symbol_entry)
}

/// The standard setting of the space group first, the others in tabulated order.
fn standard_first(mut entries: Vec<HallSymbolEntry>) -> Vec<HallSymbolEntry> {
    entries.sort_by_key(|e| Setting::Standard.hall_number(e.number) != Some(e.hall_number));
    entries
}

fn choose(
    candidates: &[HallSymbolEntry],
    symbol: &str,
    line: usize,
    lattice: &Lattice,
    notes: &mut Vec<String>,
) -> Result<Vec<SymmetryOperation>, FormatError> {
    for entry in candidates {
        let operations = entry_operations(entry);
        if operations.iter().all(|op| op.fits(lattice)) {
            if let Some(other) =
                candidates.iter().find(|e| e.number == entry.number && e.setting != entry.setting)
            {
                notes.push(format!(
                    "space group `{}` read in setting `{}` (Hall symbol {}), not `{}`; give the operations to be sure",
                    shorten(symbol),
                    entry.setting,
                    entry.hall_symbol,
                    other.setting
                ));
            }
            return Ok(operations);
        }
    }
    let [a, b, c, al, be, ga] = lattice.parameters();
    let message = format!(
        "space group `{}` does not fit the cell {a:.4} {b:.4} {c:.4} Å, {al:.3} {be:.3} {ga:.3}°",
        shorten(symbol)
    );
    Err(FormatError::at(line, FormatErrorKind::Symmetry(message)))
}

/// All operations of a tabulated setting, centring included, the identity first.
pub(super) fn entry_operations(entry: &HallSymbolEntry) -> Vec<SymmetryOperation> {
    operations_from_number(entry.number, Setting::HallNumber(entry.hall_number), false)
        .expect("every tabulated Hall symbol can be read")
        .iter()
        .map(|op| SymmetryOperation {
            rotation: op.rotation_as_array(),
            translation: op.translation.map(|t| crate::wrap_unit(snap(t))).into(),
        })
        .collect()
}

/// Rounds away floating-point noise on multiples of 1/24.
fn snap(t: f64) -> f64 {
    let rounded = (t * 24.0).round() / 24.0;
    if (t - rounded).abs() < 1e-9 { rounded } else { t }
}

/// Hall symbols with single blanks and one notation for the axis marks, which moyo writes `^` and `=`.
fn normal_hall(symbol: &str) -> String {
    let marked: String = symbol
        .chars()
        .map(|c| match c {
            '\'' => '^',
            '"' => '=',
            '_' => ' ',
            c => c.to_ascii_lowercase(),
        })
        .collect();
    marked.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Settings a Hermann–Mauguin symbol may mean, the likeliest first: full symbols, then short monoclinic ones with the
/// axis written out, then short ones. A suffix (`:2`, `:H`, or the ICSD's S, Z, H, R) picks the setting.
fn match_hermann_mauguin(symbol: &str) -> Vec<HallSymbolEntry> {
    let compact = |s: &str| -> String {
        s.chars().filter(|c| !c.is_whitespace() && *c != '_').map(|c| c.to_ascii_lowercase()).collect()
    };
    let (base, setting) = match symbol.split_once(':') {
        Some((base, setting)) => (compact(base), Some(compact(setting))),
        None => (compact(symbol), None),
    };
    let found = match_compact(&base, &compact);
    let pick = |found: Vec<HallSymbolEntry>, setting: &str| -> Vec<HallSymbolEntry> {
        found.into_iter().filter(|e| e.setting.eq_ignore_ascii_case(setting)).collect()
    };
    match setting {
        Some(setting) => pick(found, &setting),
        None if found.is_empty() && base.is_ascii() && base.len() > 1 => {
            let (stem, last) = base.split_at(base.len() - 1);
            let setting = match last {
                "s" => "1",
                "z" => "2",
                "h" => "H",
                "r" => "R",
                _ => return found,
            };
            pick(match_compact(stem, &compact), setting)
        }
        None => found,
    }
}

fn match_compact(base: &str, compact: &impl Fn(&str) -> String) -> Vec<HallSymbolEntry> {
    // The double glide plane `e` was written a, b or c before 1992.
    let same = |tabulated: &str| {
        let tabulated = compact(tabulated);
        tabulated.len() == base.len()
            && tabulated
                .bytes()
                .zip(base.bytes())
                .all(|(t, b)| t == b || (t == b'e' && matches!(b, b'a'..=b'c')))
    };
    let full: Vec<_> = entries().filter(|e| same(e.hm_full)).collect();
    if !full.is_empty() {
        return standard_first(full);
    }
    if base.is_ascii() && base.len() > 1 {
        let (centring, rest) = base.split_at(1);
        let expanded =
            [format!("{centring}1{rest}1"), format!("{centring}11{rest}"), format!("{centring}{rest}11")];
        let mut found: Vec<HallSymbolEntry> = Vec::new();
        for candidate in expanded {
            found.extend(entries().filter(|e| compact(e.hm_full) == candidate));
        }
        if !found.is_empty() {
            return found;
        }
    }
    standard_first(entries().filter(|e| same(e.hm_short)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read_and_written() {
        for (text, written) in [
            ("x, y, z", "x,y,z"),
            ("-X+1/2 , Y-x,+z+.75", "-x+1/2,-x+y,z+3/4"),
            ("1/2+x,0.3333-y,-z-1/4", "x+1/2,-y+1/3,-z-1/4"),
            ("y,x,1-z", "y,x,-z+1"),
            ("x,y,1*z+0.6667", "x,y,z+2/3"),
            ("x,y,z+0.123", "x,y,z+0.123"),
        ] {
            let op: SymmetryOperation = text.parse().unwrap();
            assert_eq!(op.to_string(), written);
            assert_eq!(written.parse::<SymmetryOperation>().unwrap(), op);
        }
        for text in [
            "",
            "x,y",
            "x,y,z,x",
            "x,x,z",
            "2x,y,z",
            "x,y,",
            "x y,z,z",
            "x,y,z+1/0",
            "x,y,q",
            "x,y,1.2.3",
            "x,y,999999999999z",
            "x+,y,z",
            "0.5x,y,z",
        ] {
            assert!(text.parse::<SymmetryOperation>().is_err(), "{text}");
        }
    }

    #[test]
    fn symbols_find_their_setting() {
        let hall = |s: &str| match_hermann_mauguin(s).first().map(|e| e.hall_symbol);
        for (symbol, expected) in [
            ("P 1", "P 1"),
            ("F m -3 m", "-F 4 2 3"),
            ("Fm-3m", "-F 4 2 3"),
            ("F d -3 m", "-F 4vw 2vw 3"),
            ("Fd-3m:1", "F 4d 2 3 -1d"),
            ("F d -3 m S", "F 4d 2 3 -1d"),
            ("F d -3 m Z", "-F 4vw 2vw 3"),
            ("P 21/c", "-P 2ybc"),
            ("P2_1/c", "-P 2ybc"),
            ("P 1 21/n 1", "-P 2yn"),
            ("P21/n", "-P 2yn"),
            ("C2/m", "-C 2y"),
            ("P 1 1 21/b", "-P 2bc"),
            ("R -3 m", "-R 3 2="),
            ("R-3m:R", "-P 3* 2"),
            ("R -3 m H", "-R 3 2="),
            ("C m c a", "-C 2ac 2"),
            ("A b m 2", "A 2 -2b"),
            ("P 63 m c", "P 6c -2c"),
            ("P 63/m m c", "-P 6c 2c"),
            ("P 4_2/m n m", "-P 4n 2n"),
        ] {
            assert_eq!(hall(symbol), Some(expected), "{symbol}");
        }
        for symbol in ["", "Q 1", "P 99", "Fd-3m:9", "é", "R"] {
            assert_eq!(hall(symbol), None, "{symbol}");
        }
    }

    #[test]
    fn every_tabulated_setting_is_a_group() {
        // Translations modulo the lattice, in multiples of 1/24.
        let key = |op: &SymmetryOperation| {
            let t = op.translation.map(|t| (t * 24.0).round().rem_euclid(24.0) as i32);
            (op.rotation, t)
        };
        for entry in entries() {
            let operations = entry_operations(&entry);
            assert!(operations[0].is_identity());
            let group: std::collections::HashSet<_> = operations.iter().map(key).collect();
            assert_eq!(group.len(), operations.len(), "{}", entry.hall_symbol);
            for a in &operations {
                assert_eq!(a.to_string().parse::<SymmetryOperation>().unwrap(), *a);
                for b in &operations {
                    let product = SymmetryOperation {
                        rotation: std::array::from_fn(|i| {
                            std::array::from_fn(|j| (0..3).map(|k| a.rotation[i][k] * b.rotation[k][j]).sum())
                        }),
                        translation: a.apply(b.translation),
                    };
                    assert!(group.contains(&key(&product)), "{}: {a} times {b}", entry.hall_symbol);
                }
            }
        }
    }
}
