//! Hall symbols (S. R. Hall, Acta Cryst. A37 (1981) 517; International Tables B, A1.4.2.3).

use super::change_of_basis::ChangeOfBasis;
use crate::SymmetryOperation;
use crate::symmetry::group::{IDENTITY, close, same_group};

/// Longest symbol that is tried.
const LONGEST: usize = 100;

/// Operations of the largest space group in its conventional cell.
const LARGEST_GROUP: usize = 192;

type Rotation = [[i32; 3]; 3];

/// One rotation of a symbol: `-2'ab`, `4_1`, `3*`.
#[derive(Debug, Clone, PartialEq)]
struct Axis {
    improper: bool,
    order: u8,
    /// `x`, `y`, `z`, `'`, `"` or `*` where it is written.
    direction: Option<char>,
    screw: u8,
    /// In twelfths of the cell edges.
    glide: [i32; 3],
}

/// The operations a Hall symbol names, the identity first, centring included.
///
/// Blanks may be underscores, and may lack where they part nothing else; letter case and the kind of quotation marks
/// do not matter (moyo and spglib write `^` and `=` for `'` and `"`).
///
/// # Errors
/// What is wrong with the symbol, in words.
pub(super) fn read(symbol: &str) -> Result<Vec<SymmetryOperation>, String> {
    if symbol.len() > LONGEST {
        return Err("it is too long".into());
    }
    let text = normal(symbol);
    let (rotations, change) = match text.split_once('(') {
        None => (text.as_str(), None),
        Some((rotations, change)) => {
            let change = change.trim_end().strip_suffix(')').ok_or("a parenthesis is not closed")?;
            (rotations, Some(ChangeOfBasis::parse(change)?))
        }
    };
    let mut groups: Vec<Vec<SymmetryOperation>> = Vec::new();
    let mut problem = None;
    for blanks_part in [true, false] {
        for reading in underscore_readings(rotations) {
            for (lattice, axes) in readings(&reading, blanks_part) {
                match group(lattice, &axes) {
                    Ok(group) if groups.iter().any(|known| same_group(known, &group)) => {}
                    Ok(group) => groups.push(group),
                    Err(e) => problem = Some(e),
                }
            }
        }
        if !groups.is_empty() {
            break;
        }
    }
    match (groups.len(), change) {
        (0, _) => Err(problem.unwrap_or("it does not follow the notation (such as `-P 2ybc`)").into()),
        (1, None) => Ok(groups.remove(0)),
        (1, Some(change)) => change.apply(&groups[0]),
        _ => Err("it has several readings; write blanks between the rotations".into()),
    }
}

/// One kind of each mark, small letters but for the lattice.
fn normal(symbol: &str) -> String {
    let mut text = String::new();
    for c in symbol.trim().chars() {
        match c {
            '\'' | '’' | '‘' | '′' | '`' | '´' | '^' => text.push('\''),
            '"' | '”' | '“' | '″' | '=' => text.push('"'),
            '−' | '–' | '‐' | '‑' => text.push('-'),
            '\\' => {}
            c if c.is_whitespace() => text.push(' '),
            c => text.push(c.to_ascii_lowercase()),
        }
    }
    text.replace("''", "\"")
}

/// Underscores stand for blanks, or (all of them between digits) mark the subscript of a screw axis.
fn underscore_readings(text: &str) -> Vec<String> {
    let blanks = text.replace('_', " ");
    if !text.contains('_') || text.starts_with('_') {
        return vec![blanks];
    }
    let bytes = text.as_bytes();
    let between_digits =
        |i: usize| bytes[i - 1].is_ascii_digit() && bytes.get(i + 1).is_some_and(u8::is_ascii_digit);
    match text.match_indices('_').all(|(i, _)| between_digits(i)) {
        true => vec![text.replace('_', ""), blanks],
        false => vec![blanks],
    }
}

/// The lattice symbol with its sign, and the rotations.
type Symbol = ((bool, char), Vec<Axis>);

/// The ways to part a symbol into rotations: where the blanks are, or anywhere.
fn readings(text: &str, blanks_part: bool) -> Vec<Symbol> {
    let text = text.trim();
    let (centric, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    let mut chars = rest.chars();
    let Some(lattice) = chars.next().filter(char::is_ascii_alphabetic) else { return Vec::new() };
    let rest = chars.as_str();
    // Without a blank after the lattice there may be none between the rotations either.
    if blanks_part && !rest.starts_with(' ') && rest.len() > 1 && !rest.contains(' ') {
        return Vec::new();
    }
    let mut found = Vec::new();
    part(rest.as_bytes(), blanks_part, &mut Vec::new(), &mut found);
    found.into_iter().map(|axes| ((centric, lattice.to_ascii_uppercase()), axes)).collect()
}

/// Most rotations of a symbol.
const MOST_AXES: usize = 4;

fn part(text: &[u8], blanks_part: bool, before: &mut Vec<Axis>, found: &mut Vec<Vec<Axis>>) {
    let text = text.trim_ascii_start();
    if text.is_empty() {
        if !before.is_empty() {
            found.push(before.clone());
        }
        return;
    }
    if before.len() == MOST_AXES {
        return;
    }
    let (improper, digits) = match text {
        [b'-', rest @ ..] => (true, rest.trim_ascii_start()),
        _ => (false, text),
    };
    let Some((&order @ (b'1' | b'2' | b'3' | b'4' | b'6'), mut rest)) = digits.split_first() else { return };
    let mut axis = Axis { improper, order: order - b'0', direction: None, screw: 0, glide: [0; 3] };
    if let [mark @ (b'x' | b'y' | b'z' | b'\'' | b'"' | b'*'), after @ ..] = rest {
        axis.direction = Some(char::from(*mark));
        rest = after;
    }
    let mut screw_possible = true;
    loop {
        // The next rotation may begin here.
        let ends = match rest.first() {
            None | Some(b' ') => true,
            Some(b'-' | b'1'..=b'9') => !blanks_part,
            _ => false,
        };
        // The identity is a symbol's only rotation, without translation.
        let identity = axis.order == 1 && !axis.improper;
        if ends && (!identity || (before.is_empty() && rest.trim_ascii().is_empty() && axis.glide == [0; 3]))
        {
            before.push(axis.clone());
            part(rest, blanks_part, before, found);
            before.pop();
        }
        let Some((&mark, after)) = rest.split_first() else { return };
        match mark {
            b'1'..=b'5' if screw_possible && axis.order > 2 && mark - b'0' < axis.order => {
                axis.screw = mark - b'0';
            }
            _ => match glide(mark) {
                Some(shift) => (0..3).for_each(|i| axis.glide[i] += shift[i]),
                None => return,
            },
        }
        screw_possible = false;
        rest = after;
    }
}

/// Translation of a subscript letter in twelfths of the cell edges.
fn glide(mark: u8) -> Option<[i32; 3]> {
    Some(match mark {
        b'a' => [6, 0, 0],
        b'b' => [0, 6, 0],
        b'c' => [0, 0, 6],
        b'n' => [6, 6, 6],
        b'u' => [3, 0, 0],
        b'v' => [0, 3, 0],
        b'w' => [0, 0, 3],
        b'd' => [3, 3, 3],
        _ => return None,
    })
}

/// Lattice points besides the origin, in twelfths of the cell edges.
fn centring(lattice: char) -> Option<&'static [[i32; 3]]> {
    Some(match lattice {
        'P' => &[],
        'A' => &[[0, 6, 6]],
        'B' => &[[6, 0, 6]],
        'C' => &[[6, 6, 0]],
        'I' => &[[6, 6, 6]],
        'R' => &[[8, 4, 4], [4, 8, 8]],
        'S' => &[[4, 4, 8], [8, 8, 4]],
        'T' => &[[4, 8, 4], [8, 4, 8]],
        'H' => &[[8, 4, 0], [4, 8, 0]],
        'F' => &[[0, 6, 6], [6, 0, 6], [6, 6, 0]],
        _ => return None,
    })
}

fn operation(rotation: Rotation, twelfths: [i32; 3]) -> SymmetryOperation {
    SymmetryOperation { rotation, translation: twelfths.map(|t| f64::from(t.rem_euclid(12)) / 12.0) }
}

fn group((centric, lattice): (bool, char), axes: &[Axis]) -> Result<Vec<SymmetryOperation>, &'static str> {
    let points = centring(lattice).ok_or("its first letter is no lattice symbol (P A B C I F R S T H)")?;
    let mut generators: Vec<_> = points.iter().map(|&t| operation(IDENTITY.rotation, t)).collect();
    if centric {
        generators.push(operation(IDENTITY.rotation.map(|row| row.map(|x| -x)), [0; 3]));
    }
    let mut before = None;
    for (i, axis) in axes.iter().enumerate() {
        let direction = direction(axis, i, before)?;
        // The face diagonals of a second axis lie across the first.
        let first = before.map_or('z', |(_, direction)| direction);
        let rotation = rotation(axis.order, direction, first).ok_or("a rotation has an impossible axis")?;
        let mut shift = axis.glide;
        if axis.screw > 0 {
            let along = match direction {
                'x' => 0,
                'y' => 1,
                'z' => 2,
                _ => return Err("a screw axis lies along no edge of the cell"),
            };
            shift[along] += 12 * i32::from(axis.screw) / i32::from(axis.order);
        }
        let sign = if axis.improper { -1 } else { 1 };
        generators.push(operation(rotation.map(|row| row.map(|x| sign * x)), shift));
        before = Some((axis.order, direction));
    }
    let group = close(&generators, LARGEST_GROUP).ok_or("its rotations form no finite group")?;
    let translations = group.iter().filter(|op| op.rotation == IDENTITY.rotation).count();
    if translations != points.len() + 1 {
        return Err("its rotations do not go with its lattice symbol");
    }
    Ok(group)
}

/// Where an axis lies when the symbol does not say: the first along z, a second twofold one along x after a two- or
/// fourfold one and along `'` after a three- or sixfold one, a third threefold one along the body diagonal.
fn direction(axis: &Axis, index: usize, before: Option<(u8, char)>) -> Result<char, &'static str> {
    match (axis.direction, index, axis.order, before) {
        (Some(direction), ..) => Ok(direction),
        (None, _, 1, _) | (None, 0, ..) => Ok('z'),
        (None, 1, 2, Some((2 | 4, _))) => Ok('x'),
        (None, 1, 2, Some((3 | 6, _))) => Ok('\''),
        (None, 2, 3, _) => Ok('*'),
        _ => Err("the axis of a rotation is missing"),
    }
}

/// Rotation matrix about the axis `direction`; `first` is the axis that `'` and `"` are perpendicular to.
fn rotation(order: u8, direction: char, first: char) -> Option<Rotation> {
    // Matrices for z, carried to x and y by cyclic exchange of the axes.
    let turned = |about_z: Rotation, axis: char| -> Rotation {
        let shift = match axis {
            'x' => 2,
            'y' => 1,
            _ => 0,
        };
        std::array::from_fn(|i| std::array::from_fn(|j| about_z[(i + shift) % 3][(j + shift) % 3]))
    };
    Some(match (direction, order) {
        ('x' | 'y' | 'z', _) => {
            let about_z = match order {
                1 => IDENTITY.rotation,
                2 => [[-1, 0, 0], [0, -1, 0], [0, 0, 1]],
                3 => [[0, -1, 0], [1, -1, 0], [0, 0, 1]],
                4 => [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
                6 => [[1, -1, 0], [1, 0, 0], [0, 0, 1]],
                _ => return None,
            };
            turned(about_z, direction)
        }
        ('\'', 2) => turned([[0, -1, 0], [-1, 0, 0], [0, 0, -1]], first),
        ('"', 2) => turned([[0, 1, 0], [1, 0, 0], [0, 0, -1]], first),
        ('*', 3) => [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
        _ => return None,
    })
}
