//! Symmetry operations of a CIF that names its space group only.

use moyo::data::{HallSymbolEntry, Setting, hall_symbol_entry, operations_from_number};

use super::lexer::shorten;
use super::symmetry::{IDENTITY, fits};
use crate::formats::error::{FormatError, FormatErrorKind};
use crate::{Lattice, SymmetryOperation};

/// One way to read a space-group symbol or number: axes and origin chosen.
#[derive(Debug, Clone)]
pub(super) struct SpaceGroupSetting {
    /// All operations, centring included, the identity first.
    pub operations: Vec<SymmetryOperation>,
    /// Code of the setting (`b1`, `2`, `H`) and its Hall symbol.
    pub name: String,
}

/// The settings of the space group that a file names by Hall symbol, Hermann–Mauguin symbol or number (each with its
/// line), in this order of preference, as far as they fit the cell. At least one; the first is the one other programs
/// take (unique axis b, hexagonal axes, origin choice 1).
pub(super) fn settings(
    hall: Option<(&str, usize)>,
    hermann_mauguin: Option<(&str, usize)>,
    number: Option<(&str, usize)>,
    lattice: &Lattice,
    warnings: &mut Vec<String>,
) -> Result<Vec<SpaceGroupSetting>, FormatError> {
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
            Some(entry) => return fitting(&[entry], symbol, line, lattice),
            None => {
                warnings.push(format!("Hall symbol `{}` is not tabulated and was not used", shorten(symbol)))
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
            (Some(_), _) => return fitting(&candidates, symbol, line, lattice),
            (None, None) => return Err(error(line, format!("unknown space group `{}`", shorten(symbol)))),
            (None, Some(_)) => {
                warnings.push(format!(
                    "space-group symbol `{}` is not known; the number was used",
                    shorten(symbol)
                ));
            }
        }
    }
    if let Some((n, line)) = number {
        let candidates: Vec<_> = entries().filter(|e| e.number == n).collect();
        return fitting(&candidates, &n.to_string(), line, lattice);
    }
    warnings.push("no symmetry given; read as P 1".into());
    let operations = vec![IDENTITY];
    Ok(vec![SpaceGroupSetting { operations, name: "P 1".into() }])
}

fn entries() -> impl Iterator<Item = HallSymbolEntry> {
    (1..=530).filter_map(hall_symbol_entry)
}

/// The candidates that fit the cell.
fn fitting(
    candidates: &[HallSymbolEntry],
    symbol: &str,
    line: usize,
    lattice: &Lattice,
) -> Result<Vec<SpaceGroupSetting>, FormatError> {
    let settings: Vec<_> = candidates
        .iter()
        .map(|entry| SpaceGroupSetting {
            operations: entry_operations(entry),
            name: format!("`{}` (Hall symbol {})", entry.setting, entry.hall_symbol),
        })
        .filter(|s| s.operations.iter().all(|op| fits(op, lattice)))
        .collect();
    if settings.is_empty() {
        let [a, b, c, al, be, ga] = lattice.parameters();
        let message = format!(
            "space group `{}` does not fit the cell {a:.4} {b:.4} {c:.4} Å, {al:.3} {be:.3} {ga:.3}°",
            shorten(symbol)
        );
        return Err(FormatError::at(line, FormatErrorKind::Symmetry(message)));
    }
    Ok(settings)
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
        return full;
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
    entries().filter(|e| same(e.hm_short)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_find_their_setting() {
        let hall = |s: &str| match_hermann_mauguin(s).first().map(|e| e.hall_symbol);
        for (symbol, expected) in [
            ("P 1", "P 1"),
            ("F m -3 m", "-F 4 2 3"),
            ("Fm-3m", "-F 4 2 3"),
            ("F d -3 m", "F 4d 2 3 -1d"),
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
            assert_eq!(operations[0], IDENTITY);
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
