//! Symmetry operations of a CIF that names its space group only.

mod change_of_basis;
mod hall;
mod hermann_mauguin;
mod nearest;
mod spelling;
mod tables;

use std::collections::BTreeSet;

use super::lexer::shorten;
use super::symmetry::fits;
use crate::formats::error::{FormatError, FormatErrorKind};
use crate::symmetry::group::{IDENTITY, same_group};
use crate::symmetry::identify::space_group_number;
use crate::{Lattice, SpaceGroup, SymmetryOperation};
use tables::Setting;

/// Relative change of the cell's metric tensor by the operations of a setting that comes from rounding.
const METRIC_ROUNDING: f64 = 1e-3;

/// Relative change of the metric tensor from which on it is worth a remark.
const METRIC_REMARK: f64 = 1e-2;

/// One way to read a space-group symbol or number: axes and origin chosen.
#[derive(Debug, Clone)]
pub(super) struct SpaceGroupSetting {
    /// All operations, centring included, the identity first.
    pub operations: Vec<SymmetryOperation>,
    /// Code of the setting (`b1`, `2`, `H`) or its symbol, and its Hall symbol.
    pub name: String,
}

/// A value of the file and its line.
type Datum<'a> = (&'a str, usize);

/// The number of the space group that a Hermann–Mauguin symbol names in any of its settings and spellings (`Fm-3m`, `F m -3 m`,
/// `P2_1/n`, `P 1 21/n 1`). A symbol of several groups in several settings (`C2`) is that of the group whose standard
/// setting has it. `None` where it is not understood.
pub fn number_of_symbol(symbol: &str) -> Option<u16> {
    let found = hermann_mauguin::find(symbol).into_iter().map(|i| tables::settings()[i].number);
    let numbers: BTreeSet<u16> = found.filter_map(|number| u16::try_from(number).ok()).collect();
    let plain = |text: &str| text.replace([' ', '_'], "").to_ascii_lowercase();
    let is_standard = |number: &u16| {
        SpaceGroup::new(*number)
            .is_ok_and(|group| [group.symbol(), group.full_symbol()].map(plain).contains(&plain(symbol)))
    };
    match numbers.len() {
        0 | 1 => numbers.first().copied(),
        _ => numbers.iter().copied().find(is_standard),
    }
}

/// The settings of the space group that a file names by Hall symbol, Hermann–Mauguin symbol or number (each with its
/// line), in this order of preference, as far as they fit the cell. At least one; the first is the one other programs
/// take (unique axis b, hexagonal axes, origin choice 1).
///
/// # Errors
/// [`FormatErrorKind::Symmetry`] for symbols that are not understood (unless the number leaves no choice), for names
/// that contradict each other and for groups that do not fit the cell.
pub(super) fn settings(
    hall: Option<Datum>,
    hermann_mauguin: Option<Datum>,
    number: Option<Datum>,
    lattice: &Lattice,
    warnings: &mut Vec<String>,
) -> Result<Vec<SpaceGroupSetting>, FormatError> {
    let given = |datum: Option<Datum<'_>>| datum.filter(|(text, _)| !is_placeholder(text)).is_some();
    let (hall, hermann_mauguin, number) = (
        hall.filter(|_| given(hall)),
        hermann_mauguin.filter(|_| given(hermann_mauguin)),
        number.filter(|(text, _)| given(number) && text.trim() != "0"),
    );
    let number = match number {
        None => None,
        Some((text, line)) => match text.trim().parse::<i32>() {
            Ok(n @ 1..=230) => Some((n, line)),
            _ => return Err(error(line, format!("`{}` is no space-group number (1 to 230)", shorten(text)))),
        },
    };
    let named =
        hermann_mauguin.map(|(symbol, line)| Named { symbol, line, found: hermann_mauguin::find(symbol) });
    if let Some((symbol, line)) = hall
        && let Some(operations) = from_hall(symbol, line, named.as_ref(), number, warnings)?
    {
        let name = format!("(Hall symbol {})", shorten(symbol));
        return fitting(vec![SpaceGroupSetting { operations, name }], symbol, line, lattice, warnings);
    }
    if let Some(named) = named {
        return from_hermann_mauguin(&named, number, lattice, warnings);
    }
    if let Some((n, line)) = number {
        return fitting(of_number(n), &n.to_string(), line, lattice, warnings);
    }
    warnings.push("no symmetry given; read as P 1".into());
    Ok(vec![SpaceGroupSetting { operations: vec![IDENTITY], name: "P 1".into() }])
}

fn error(line: usize, message: String) -> FormatError {
    FormatError::at(line, FormatErrorKind::Symmetry(message))
}

/// Words that stand for a value nobody knows.
pub(super) fn is_placeholder(text: &str) -> bool {
    let text = text.trim();
    let inside = |(open, close)| text.strip_prefix(open)?.strip_suffix(close);
    let text =
        [('\'', '\''), ('"', '"'), ('(', ')'), ('<', '>')].into_iter().find_map(inside).unwrap_or(text);
    matches!(
        text.to_ascii_lowercase().as_str(),
        "" | "?"
            | "."
            | "-"
            | "--"
            | "none"
            | "null"
            | "n/a"
            | "not given"
            | "not known"
            | "not available"
            | "unknown"
            | "undefined"
            | "unspecified"
    )
}

/// A Hermann–Mauguin symbol and the tabulated settings it may mean.
struct Named<'a> {
    symbol: &'a str,
    line: usize,
    found: Vec<usize>,
}

fn tabulated(index: usize) -> &'static Setting {
    &tables::settings()[index]
}

/// Numbers of the space groups in a list of settings.
fn numbers(found: &[usize]) -> Vec<i32> {
    let mut numbers: Vec<i32> = found.iter().map(|&i| tabulated(i).number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// The operations of the Hall symbol; `None`, with a remark, where another name of the group has to do.
fn from_hall(
    symbol: &str,
    line: usize,
    named: Option<&Named>,
    number: Option<(i32, usize)>,
    warnings: &mut Vec<String>,
) -> Result<Option<Vec<SymmetryOperation>>, FormatError> {
    let written = shorten(symbol);
    let operations = match hall::read(symbol) {
        Ok(operations) => operations,
        Err(reason) => {
            let message = format!("Hall symbol `{written}` cannot be read: {reason}");
            // A number tells the setting only where there is just one.
            let number_does = number.is_some_and(|(n, _)| only_setting(n).is_some());
            if named.is_none() && !number_does {
                return Err(error(line, message));
            }
            warnings.push(format!("{message}; it was not used"));
            return Ok(None);
        }
    };
    let hall_number = space_group_number(&operations);
    let contradicts = |other: &[i32]| hall_number.is_some_and(|n| !other.contains(&n));
    let group = hall_number.map_or("an unknown space group".into(), |n| format!("space group {n}"));
    if let Some((n, _)) = number
        && contradicts(&[n])
    {
        return Err(error(line, format!("Hall symbol `{written}` is {group}, but the number given is {n}")));
    }
    let Some(named) = named else { return Ok(Some(in_usual_order(operations, hall_number))) };
    let other = shorten(named.symbol);
    let found = numbers(&named.found);
    if found.is_empty() {
        warnings.push(format!("space-group symbol `{other}` is not known; Hall symbol `{written}` was used"));
    } else if contradicts(&found) {
        let found: Vec<String> = found.iter().map(i32::to_string).collect();
        let message =
            format!("Hall symbol `{written}` is {group}, but symbol `{other}` is {}", found.join(" or "));
        return Err(error(line, message));
    } else if named.found.iter().all(|&i| !same_group(&tabulated(i).operations(), &operations)) {
        if spelling::base(symbol) == spelling::base(named.symbol) {
            warnings.push(format!("`{written}` is given for a Hall symbol, but is read as symbol `{other}`"));
            return Ok(None);
        }
        warnings.push(format!(
            "Hall symbol `{written}` and symbol `{other}` are different settings of {group}; the Hall symbol was used"
        ));
    }
    Ok(Some(in_usual_order(operations, hall_number)))
}

/// The operations in the order of the tabulated setting with the same ones, if there is one.
fn in_usual_order(operations: Vec<SymmetryOperation>, number: Option<i32>) -> Vec<SymmetryOperation> {
    let tabulated = tables::settings().iter().filter(|s| s.is_international() && Some(s.number) == number);
    tabulated.map(Setting::operations).find(|usual| same_group(usual, &operations)).unwrap_or(operations)
}

/// The settings the symbol may mean, as far as they fit number and cell.
fn from_hermann_mauguin(
    named: &Named,
    number: Option<(i32, usize)>,
    lattice: &Lattice,
    warnings: &mut Vec<String>,
) -> Result<Vec<SpaceGroupSetting>, FormatError> {
    let (symbol, line) = (shorten(named.symbol), named.line);
    let Some(&first) = named.found.first() else {
        let setting = number.and_then(|(n, _)| Some((n, only_setting(n)?)));
        let Some((n, only)) = setting else {
            let nearest = nearest::suggestion(named.symbol, number.map(|(n, _)| n));
            let settings = match number {
                Some((n, _)) => format!(", and number {n} does not tell which of its settings is meant"),
                None => String::new(),
            };
            return Err(error(line, format!("unknown space group `{symbol}`{settings}{nearest}")));
        };
        warnings.push(format!(
            "space-group symbol `{symbol}` is not known; number {n} was used, `{}`",
            only.symbol()
        ));
        return fitting(vec![described(only)], &n.to_string(), line, lattice, warnings);
    };
    let wanted = |i: &&usize| number.is_none_or(|(n, _)| tabulated(**i).number == n);
    let agreeing: Vec<usize> = named.found.iter().filter(wanted).copied().collect();
    if let (true, Some((n, _))) = (agreeing.is_empty(), number) {
        let found = tabulated(first).number;
        let message = format!("symbol `{symbol}` is space group {found}, but the number given is {n}");
        return Err(error(line, message));
    }
    // Symbols such as `C 2` name an unusual setting of another group, too.
    let mut refused = None;
    for n in agreeing.iter().map(|&i| tabulated(i).number) {
        let same = agreeing.iter().map(|&i| tabulated(i)).filter(|s| s.number == n);
        match fitting(same.map(described).collect(), named.symbol, line, lattice, warnings) {
            Ok(settings) => return Ok(settings),
            Err(e) => refused = refused.or(Some(e)),
        }
    }
    Err(refused.unwrap_or_else(|| error(line, format!("unknown space group `{symbol}`"))))
}

fn described(setting: &Setting) -> SpaceGroupSetting {
    let code = if setting.code.is_empty() { setting.symbol() } else { setting.code.to_owned() };
    SpaceGroupSetting {
        operations: setting.operations(),
        name: format!("`{code}` (Hall symbol {})", setting.hall),
    }
}

/// The settings of International Tables for a number.
fn of_number(number: i32) -> Vec<SpaceGroupSetting> {
    tables::settings().iter().filter(|s| s.number == number && s.is_international()).map(described).collect()
}

/// The setting of a space group that is tabulated in no other; always the primitive one of number 1.
fn only_setting(number: i32) -> Option<&'static Setting> {
    let mut all = tables::settings().iter().filter(|s| s.number == number);
    let first = all.next()?;
    (number == 1 || all.next().is_none()).then_some(first)
}

/// The candidates that fit the cell, each group once: those that leave its metric unchanged but for rounding where
/// there are such, else all within the tolerance for measured cells.
fn fitting(
    candidates: Vec<SpaceGroupSetting>,
    symbol: &str,
    line: usize,
    lattice: &Lattice,
    warnings: &mut Vec<String>,
) -> Result<Vec<SpaceGroupSetting>, FormatError> {
    let mut settings: Vec<(f64, SpaceGroupSetting)> = Vec::new();
    for candidate in candidates {
        let fits = candidate.operations.iter().all(|op| fits(op, lattice));
        if fits && settings.iter().all(|(_, known)| !same_group(&known.operations, &candidate.operations)) {
            settings.push((misfit(&candidate.operations, lattice), candidate));
        }
    }
    if settings.iter().any(|(misfit, _)| *misfit < METRIC_ROUNDING) {
        settings.retain(|(misfit, _)| *misfit < METRIC_ROUNDING);
    }
    if settings.is_empty() {
        let [a, b, c, al, be, ga] = lattice.parameters();
        let message = format!(
            "space group `{}` does not fit the cell {a:.4} {b:.4} {c:.4} Å, {al:.3} {be:.3} {ga:.3}°",
            shorten(symbol)
        );
        return Err(error(line, message));
    }
    let best = settings.iter().map(|(misfit, _)| *misfit).fold(f64::INFINITY, f64::min);
    if best > METRIC_REMARK {
        warnings.push(format!(
            "the cell is not quite one of space group `{}`: the symmetry changes it by {:.1} %",
            shorten(symbol),
            100.0 * best
        ));
    }
    Ok(settings.into_iter().map(|(_, setting)| setting).collect())
}

/// Largest change of an element of the metric tensor by an operation, relative to the edges' lengths.
fn misfit(operations: &[SymmetryOperation], lattice: &Lattice) -> f64 {
    let g = lattice.matrix() * lattice.matrix().transpose();
    let change = |op: &SymmetryOperation| {
        let r = nalgebra::Matrix3::from_fn(|i, j| f64::from(op.rotation[i][j]));
        let image = r.transpose() * g * r;
        let relative =
            |i: usize, j: usize| (image[(i, j)] - g[(i, j)]).abs() / (g[(i, i)] * g[(j, j)]).sqrt();
        (0..9).map(|k| relative(k / 3, k % 3)).fold(0.0, f64::max)
    };
    operations.iter().map(change).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests;
