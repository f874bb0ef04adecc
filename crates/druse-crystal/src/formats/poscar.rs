//! VASP's POSCAR / CONTCAR: with element names (VASP 5 and later) or without (VASP 4), selective dynamics,
//! fractional and Cartesian coordinates.

use std::fmt::Write as _;

use super::error::{FormatError, FormatErrorKind};
use super::number::{self, is_number};
use super::site::{self, MAX_SITES};
use super::species::SpeciesReader;
use super::{CoincidentSites, Parsed, Warning, WarningKind, species};
use crate::{Element, Lattice, Structure};

/// Numbered lines of the file; knows what is expected when they run out.
struct Lines<'a> {
    lines: std::iter::Peekable<std::iter::Enumerate<std::str::Lines<'a>>>,
    last: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self, expected: &str) -> Result<(usize, &'a str), FormatError> {
        match self.lines.next() {
            Some((i, line)) => {
                self.last = i + 1;
                Ok((i + 1, line))
            }
            None => Err(FormatError::at(
                self.last.max(1),
                FormatErrorKind::Truncated(format!("expected {expected} after this line")),
            )),
        }
    }

    /// The next line if it passes.
    fn next_if(&mut self, passes: impl Fn(&str) -> bool) -> Option<&'a str> {
        let (i, line) = self.lines.next_if(|(_, line)| passes(line))?;
        self.last = i + 1;
        Some(line)
    }
}

/// Whether a text begins like a POSCAR: a scale factor and three lattice vectors below the first line.
pub(super) fn recognize(head: &str) -> bool {
    let lines: Vec<&str> = head.lines().skip(1).take(4).collect();
    let [scale, vectors @ ..] = lines.as_slice() else { return false };
    vectors.len() == 3
        && scale.split_whitespace().next().is_some_and(is_number)
        && vectors.iter().all(|v| matches!(number::leading::<3>(v, ""), Ok(Some(_))))
}

/// Reads a POSCAR. Velocities and predictor data after the coordinates are not used.
pub(super) fn read(text: &str, coincident: CoincidentSites) -> Result<Vec<Parsed>, FormatError> {
    if text.trim().is_empty() {
        return Err(FormatError::whole(FormatErrorKind::NoStructure("the file is empty".into())));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = Lines { lines: text.lines().enumerate().peekable(), last: 0 };
    let mut warnings = Vec::new();
    let (_, comment) = lines.next("a comment")?;
    let comment = comment.trim();
    let (scale_line, scale) = lines.next("the scale factor")?;
    let mut rows = [[0.0; 3]; 3];
    let mut lattice_line = 0;
    for row in &mut rows {
        let (line, text) = lines.next("a lattice vector")?;
        *row = three(text, line, "lattice vector")?.0;
        lattice_line = line;
    }
    let scale = scale_factors(scale, scale_line, &rows)?;
    for row in &mut rows {
        *row = std::array::from_fn(|k| row[k] * scale[k]);
    }
    let lattice = Lattice::from_rows(rows).map_err(|e| FormatError::at(lattice_line, e))?;

    let Groups { names, names_line, counts, counts_line } = Groups::read(&mut lines, comment)?;
    let (mut line, mut text) = lines.next("`Direct` or `Cartesian`")?;
    let first = |t: &str| t.trim_start().bytes().next().map(|b| b.to_ascii_lowercase());
    let selective = first(text) == Some(b's');
    if selective {
        warnings.push(Warning::new(WarningKind::NotKept, "selective-dynamics flags were not kept"));
        (line, text) = lines.next("`Direct` or `Cartesian`")?;
    }
    let cartesian = is_cartesian(text, line, &mut warnings)?;
    let total: usize = counts.iter().sum();
    let mut coords = Vec::with_capacity(total.min(1024));
    let mut trailing: Vec<Option<&str>> = Vec::with_capacity(total.min(1024));
    let first_site = line + 1;
    for i in 0..total {
        let (line, text) = lines.next(&format!("the coordinates of atom {} of {total}", i + 1))?;
        let (x, rest) = three(text, line, "coordinate")?;
        coords.push(if cartesian {
            lattice.to_fractional(std::array::from_fn(|k| x[k] * scale[k]))
        } else {
            x
        });
        trailing.push(rest.split_whitespace().nth(if selective { 3 } else { 0 }));
    }

    let mut reader = SpeciesReader::default();
    let species = match names {
        Some(names) => grouped(&mut reader, &names, &counts, names_line)?,
        None => unnamed(&mut reader, comment, &trailing, &counts, counts_line, &mut warnings)?,
    };
    reader.warnings(&mut warnings);
    let structure = Structure::new(lattice, species, coords).map_err(|e| FormatError::at(first_site, e))?;
    site::check_coincident(
        &structure,
        coincident,
        |i| site::default_label(&structure, i),
        |j| Some(first_site + j),
    )?;
    Ok(vec![Parsed { structure, name: comment.to_owned(), warnings }])
}

/// The groups of atoms: how many there are of each, and their names where the file has them.
struct Groups<'a> {
    names: Option<Vec<&'a str>>,
    /// First line of the names.
    names_line: usize,
    counts: Vec<usize>,
    /// Last line of the counts.
    counts_line: usize,
}

impl<'a> Groups<'a> {
    /// VASP puts 20 of them on a line, so both names and counts may go on over several lines.
    fn read(lines: &mut Lines<'a>, comment: &str) -> Result<Self, FormatError> {
        let is_count = |t: &str| t.split_whitespace().next().is_some_and(is_number);
        let (mut counts_line, mut text) = lines.next("element names or atom counts")?;
        let mut names: Option<Vec<&str>> = None;
        let names_line = counts_line;
        while !is_count(text) {
            names.get_or_insert_default().extend(before_comment(text));
            (counts_line, text) = lines.next("atom counts")?;
        }
        let mut counts = Vec::new();
        add_counts(text, counts_line, &mut counts)?;
        // Without a line of names the comment may have them.
        let wanted = names.as_ref().map_or_else(|| comment.split_whitespace().count(), Vec::len);
        let only_counts = |t: &str| is_count(t) && before_comment(t).all(|w| w.parse::<usize>().is_ok());
        while counts.len() < wanted
            && let Some(text) = lines.next_if(only_counts)
        {
            counts_line = lines.last;
            add_counts(text, counts_line, &mut counts)?;
        }
        if counts.iter().all(|&n| n == 0) {
            let kind = FormatErrorKind::NoStructure("it has no atoms".into());
            return Err(FormatError::at(counts_line, kind));
        }
        Ok(Self { names, names_line, counts, counts_line })
    }
}

/// The words of a line up to a comment, which `!` or `#` introduces.
fn before_comment(text: &str) -> impl Iterator<Item = &str> {
    text.split(['!', '#']).next().unwrap_or(text).split_whitespace()
}

/// Whether the line before the coordinates says that they are Cartesian. As in VASP its first letter decides: `C` and
/// `K` are Cartesian, anything else is fractional.
fn is_cartesian(text: &str, line: usize, warnings: &mut Vec<Warning>) -> Result<bool, FormatError> {
    let text = text.trim();
    if text.split_whitespace().next().is_some_and(is_number) {
        let what = "the line `Direct` or `Cartesian` before the coordinates (here stand numbers)";
        return Err(FormatError::at(line, FormatErrorKind::Missing(what.into())));
    }
    match text.bytes().next().map(|b| b.to_ascii_lowercase()) {
        Some(b'c' | b'k') => return Ok(true),
        Some(b'd' | b'f') => {}
        _ => {
            let shown = shorten(text);
            let text =
                format!("the line `{shown}` before the coordinates is read as `Direct`, as VASP reads it");
            warnings.push(Warning::new(WarningKind::Interpreted, text));
        }
    }
    Ok(false)
}

/// The factor of each Cartesian axis: one number, three numbers, or the negative of the wanted volume in Å³.
fn scale_factors(text: &str, line: usize, rows: &[[f64; 3]; 3]) -> Result<[f64; 3], FormatError> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |t: &str| number::number(t, "scale factor").map_err(|kind| FormatError::at(line, kind));
    let syntax = |message: String| FormatError::at(line, FormatErrorKind::Syntax(message));
    // A comment may follow the number.
    let three = words.len() >= 3 && words[..3].iter().all(|w| is_number(w));
    if three {
        let scale = [number(words[0])?, number(words[1])?, number(words[2])?];
        if scale.iter().any(|&s| s <= 0.0) {
            return Err(syntax("three scale factors must all be positive".into()));
        }
        return Ok(scale);
    }
    let scale = number(words.first().copied().unwrap_or(""))?;
    if scale > 0.0 {
        Ok([scale; 3])
    } else if scale < 0.0 {
        let volume = Lattice::from_rows(*rows).map_err(|e| FormatError::at(line + 3, e))?.volume();
        Ok([(-scale / volume).cbrt(); 3])
    } else {
        Err(syntax("the scale factor must not be zero".into()))
    }
}

/// The three numbers of a line and what follows them.
fn three<'a>(text: &'a str, line: usize, what: &str) -> Result<([f64; 3], &'a str), FormatError> {
    let found = number::leading(text, what).map_err(|kind| FormatError::at(line, kind))?;
    found.ok_or_else(|| {
        let message = format!("a {what} has three numbers, found `{}`", shorten(text.trim()));
        FormatError::at(line, FormatErrorKind::Syntax(message))
    })
}

/// Adds the counts of a line; refuses more atoms than [`MAX_SITES`].
fn add_counts(text: &str, line: usize, counts: &mut Vec<usize>) -> Result<(), FormatError> {
    for word in before_comment(text) {
        let n: usize = word.parse().map_err(|_| {
            FormatError::at(
                line,
                FormatErrorKind::Syntax(format!("`{}` is no number of atoms", shorten(word))),
            )
        })?;
        counts.push(n);
    }
    if counts.iter().fold(0, |total: usize, n| total.saturating_add(*n)) > MAX_SITES {
        return Err(FormatError::at(line, FormatErrorKind::TooManySites));
    }
    Ok(())
}

/// One element per atom from one name per group. POTCAR suffixes (`Fe_pv`, `O/8d3b`) are dropped.
fn grouped(
    reader: &mut SpeciesReader,
    names: &[&str],
    counts: &[usize],
    line: usize,
) -> Result<Vec<Element>, FormatError> {
    if names.len() != counts.len() {
        let message = format!("{} element names but {} atom counts", names.len(), counts.len());
        return Err(FormatError::at(line, FormatErrorKind::Syntax(message)));
    }
    let mut species = Vec::new();
    for (name, &n) in names.iter().zip(counts) {
        let symbol = species::symbol(name.split(['_', '/']).next().unwrap_or(name));
        for _ in 0..n {
            let element = reader.species(symbol, "").map_err(|kind| FormatError::at(line, kind))?;
            species.push(element);
        }
    }
    Ok(species)
}

/// Elements of a VASP 4 file, which names none: from the comment line, or from symbols after the coordinates.
fn unnamed(
    reader: &mut SpeciesReader,
    comment: &str,
    trailing: &[Option<&str>],
    counts: &[usize],
    line: usize,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Element>, FormatError> {
    let names: Vec<&str> = comment.split_whitespace().collect();
    let is_element = |t: &str| species(t).is_ok();
    if names.len() == counts.len()
        && names.iter().all(|n| is_element(n.split(['_', '/']).next().unwrap_or(n)))
    {
        let text = "no line of element names (VASP 4); taken from the comment line";
        warnings.push(Warning::new(WarningKind::Interpreted, text));
        return grouped(reader, &names, counts, 1);
    }
    if trailing.iter().all(|t| t.is_some_and(is_element)) {
        let text = "no line of element names (VASP 4); taken from the symbols after the coordinates";
        warnings.push(Warning::new(WarningKind::Interpreted, text));
        let symbols = trailing.iter().flatten();
        return symbols
            .map(|t| reader.species(species::symbol(t), "").map_err(|kind| FormatError::at(line, kind)))
            .collect();
    }
    Err(FormatError::at(
        line,
        FormatErrorKind::Missing(format!(
            "the line of element names (VASP 4 has none, and neither the comment nor the coordinate lines name the \
             {} elements); insert it above this line",
            counts.len()
        )),
    ))
}

fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The structure as a VASP 5 POSCAR with fractional coordinates, sites grouped by element in order of first
/// appearance (POTCAR order).
pub(super) fn write(structure: &Structure, name: &str) -> String {
    let mut order: Vec<Element> = Vec::new();
    for &e in &structure.species {
        if !order.contains(&e) {
            order.push(e);
        }
    }
    let comment: String = name.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut out = format!("{comment}\n1.0\n");
    let mut push = |text: std::fmt::Arguments| out.write_fmt(text).expect("writing to a string cannot fail");
    for [x, y, z] in structure.lattice.rows() {
        push(format_args!("{x:22.12} {y:22.12} {z:22.12}\n"));
    }
    for e in &order {
        push(format_args!(" {:>4}", e.symbol()));
    }
    push(format_args!("\n"));
    for e in &order {
        push(format_args!(" {:>4}", structure.species.iter().filter(|s| *s == e).count()));
    }
    push(format_args!("\nDirect\n"));
    for e in &order {
        for (_, f) in structure.species.iter().zip(&structure.frac_coords).filter(|(s, _)| *s == e) {
            push(format_args!("{:16.12} {:16.12} {:16.12} {e}\n", f[0], f[1], f[2]));
        }
    }
    out
}
