//! Settings that a Hermann–Mauguin symbol names.

use super::spelling::{self, Qualifier};
use super::tables::{Name, Setting, names, settings};

/// Indices of the settings the symbol may mean, the likeliest first: those that have this full or short symbol, else
/// those that have it as a monoclinic symbol without ones (unique axis b, c, a). Empty when it is not understood.
pub(super) fn find(symbol: &str) -> Vec<usize> {
    let Some(spelled) = spelling::read(symbol) else { return Vec::new() };
    let chunks = &spelled.chunks;
    let found = lookup(chunks);
    let agrees_with_all = |i: &usize| spelled.qualifiers.iter().all(|q| agrees(q, &settings()[*i]));
    if !found.is_empty() || !spelled.qualifiers.is_empty() {
        return found.into_iter().filter(agrees_with_all).collect();
    }
    // A suffix without a colon: `F d -3 m O2`, and Z or S, the Inorganic Crystal Structure Database's letters for an
    // origin at the centre of symmetry or not.
    for (suffix, qualifier) in [
        ("o1", Qualifier::Origin('1')),
        ("o2", Qualifier::Origin('2')),
        ("s", Qualifier::Origin('1')),
        ("z", Qualifier::Origin('2')),
        ("h", Qualifier::Axes('H')),
        ("r", Qualifier::Axes('R')),
    ] {
        let Some((last, before)) = chunks.split_last() else { break };
        let Some(stem) = last.strip_suffix(suffix) else { continue };
        let mut chunks = before.to_vec();
        if !stem.is_empty() {
            chunks.push(stem.to_owned());
        }
        // A letter that picks nothing is no suffix.
        let picks = |s: &Setting| s.origin().is_some() || matches!(s.code, "H" | "R");
        let found: Vec<usize> = lookup(&chunks)
            .into_iter()
            .filter(|&i| picks(&settings()[i]) && agrees(&qualifier, &settings()[i]))
            .collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

fn agrees(qualifier: &Qualifier, setting: &Setting) -> bool {
    let code = setting.code;
    let cell = code.strip_prefix('-').unwrap_or(code);
    match qualifier {
        // Where there is one origin, it is the first. `P -1 (2)` gives the number.
        Qualifier::Origin(n) => {
            setting.origin().map_or(*n == '1', |origin| origin == *n)
                || n.to_digit(10) == u32::try_from(setting.number).ok()
        }
        Qualifier::Axes(axes) => code.starts_with(*axes),
        Qualifier::UniqueAxis(axis) => setting.number <= 15 && cell.starts_with(*axis),
        Qualifier::CellChoice(n) => {
            setting.number <= 15 && !code.starts_with('-') && cell[1..].starts_with(*n)
        }
        Qualifier::Code(wanted) if wanted == "abc" => {
            setting.is_international() && matches!(code, "" | "1" | "2")
        }
        Qualifier::Code(wanted) => {
            code == wanted || setting.origin().is_some_and(|_| code[1..] == wanted[..])
        }
        Qualifier::Number(n) => setting.number == *n,
    }
}

/// Settings with this symbol, whatever follows it.
fn lookup(chunks: &[String]) -> Vec<usize> {
    let Some(all) = names().get(&chunks.concat()) else { return Vec::new() };
    let mut fitting: Vec<&Name> = all.iter().filter(|name| same_parts(chunks, &name.parts)).collect();
    let Some(rank) = fitting.iter().map(|name| name.rank).min() else { return Vec::new() };
    fitting.retain(|name| name.rank == rank);
    fitting.sort_by_key(|name| {
        let s = &settings()[name.setting];
        let axis = match s.code.trim_start_matches('-').bytes().next() {
            Some(b'c') => 1,
            Some(b'a') => 2,
            _ => 0,
        };
        (!s.is_international(), if s.number <= 15 { axis } else { 0 }, name.setting)
    });
    fitting.iter().map(|name| name.setting).collect()
}

/// Whether blanks fall between the parts of the symbol. Without any (but after the lattice letter) that is taken for
/// granted; with some, digits that stand together and may be a screw axis are one, so that `P 1 21` is not P 1 2 1.
/// Screw digits may be set apart where they can be nothing else (`P 2 1 2 1 2 1`, but not `P 2 1`).
fn same_parts(chunks: &[String], parts: &[String]) -> bool {
    let ends = |texts: &[String]| -> Vec<usize> {
        texts
            .iter()
            .scan(0, |end, text| {
                *end += text.len();
                Some(*end)
            })
            .collect()
    };
    let (blanks, borders) = (ends(chunks), ends(parts));
    let joined = chunks.concat();
    let bytes = joined.as_bytes();
    if blanks.iter().all(|i| borders.contains(i)) {
        let inner = blanks.iter().any(|i| (2..bytes.len()).contains(i));
        return !inner || borders.iter().all(|i| blanks.contains(i) || !is_screw(bytes, *i));
    }
    let between_digits =
        |i: usize| i < bytes.len() && bytes[i - 1].is_ascii_digit() && bytes[i].is_ascii_digit();
    let only_screws_parted = blanks.iter().all(|i| borders.contains(i) || between_digits(*i))
        && borders.iter().all(|i| *i == 1 || blanks.contains(i));
    let parts_written = chunks.len() - usize::from(chunks[0].len() == 1);
    only_screws_parted && parts_written > 3
}

/// Whether the characters before and after position `i` may be a screw axis of a space group.
fn is_screw(symbol: &[u8], i: usize) -> bool {
    // Trigonal groups with planes have no screw axes.
    let planes = || symbol[1..].iter().any(u8::is_ascii_alphabetic);
    match symbol[i.saturating_sub(2)..(i + 1).min(symbol.len())] {
        [b'-', _, _] => false,
        [_, b'2', b'1'] | [_, b'4', b'1'..=b'3'] | [_, b'6', b'1'..=b'5'] => true,
        [_, b'3', b'1' | b'2'] => !planes(),
        _ => false,
    }
}
