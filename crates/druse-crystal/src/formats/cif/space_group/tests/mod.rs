//! Tests of the names of space groups.

mod hall_symbols;
mod names;
mod spellings;

use proptest::prelude::*;

use super::*;

/// A setting by its names, from a table of the tests.
struct Known {
    number: i32,
    short: &'static str,
    /// `1`, `2`, `H`, `R` or nothing.
    choice: &'static str,
    full: &'static str,
    hall: &'static str,
    operations: Vec<SymmetryOperation>,
}

fn known() -> Vec<Known> {
    let table = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/space_group_settings.tsv"));
    let known: Vec<Known> = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [number, short, choice, full, hall] = columns[..] else { panic!("{line}") };
            let operations = hall::read(hall).unwrap_or_else(|e| panic!("{hall}: {e}"));
            Known { number: number.parse().unwrap(), short, choice, full, hall, operations }
        })
        .collect();
    assert_eq!(known.len(), 564);
    known
}

impl Known {
    /// A cell of the setting's crystal system, without further symmetry.
    fn cell(&self) -> Lattice {
        let parts: Vec<&str> = self.full.split(' ').collect();
        let parameters = match self.number {
            1..=2 => [5.0, 6.0, 7.0, 81.0, 95.0, 103.0],
            3..=15 => {
                let mut parameters = [5.0, 6.0, 7.0, 90.0, 90.0, 90.0];
                parameters[2 + parts.iter().rposition(|part| *part != "1").unwrap()] = 101.0;
                parameters
            }
            16..=74 => [5.0, 6.0, 7.0, 90.0, 90.0, 90.0],
            75..=142 => [5.0, 5.0, 7.0, 90.0, 90.0, 90.0],
            143..=194 if self.choice == "R" => [5.0, 5.0, 5.0, 77.0, 77.0, 77.0],
            143..=194 => [5.0, 5.0, 7.0, 90.0, 90.0, 120.0],
            _ => [5.0, 5.0, 5.0, 90.0, 90.0, 90.0],
        };
        Lattice::from_parameters(parameters).unwrap()
    }

    /// Its symbols, former ones included.
    fn symbols(&self) -> Vec<String> {
        let mut symbols = vec![self.short.to_owned(), self.full.to_owned()];
        if let 3..=15 = self.number {
            let parts: Vec<&str> = self.full.split(' ').filter(|part| *part != "1").collect();
            symbols.push(parts.join(" "));
        }
        if let 200..=206 | 221..=230 = self.number {
            symbols.extend(symbols.clone().iter().map(|s| s.replace("-3", "3")));
        }
        if self.choice == "H" {
            symbols.push(self.short.replacen('R', "H", 1));
        }
        symbols.sort();
        symbols.dedup();
        symbols
    }

    /// What may follow a symbol to pick the choice of origin or axes.
    fn suffixes(&self) -> &'static [&'static str] {
        match self.choice {
            "1" => &["", ":1", " :1", " (origin choice 1)", ", origin 1", "O1", " S", "S"],
            "2" => &["", ":2", " :2", " (origin choice 2)", ", origin 2", "O2", " Z", "Z"],
            "H" => &["", ":H", " :h", " H", "H", " (hexagonal axes)"],
            "R" => &["", ":R", " :r", " R", "r", " (rhombohedral axes)"],
            _ => &[""],
        }
    }
}

fn read_symbol(symbol: &str, lattice: &Lattice) -> Result<Vec<SpaceGroupSetting>, FormatError> {
    let mut warnings = Vec::new();
    let read = settings(None, Some((symbol, 1)), None, lattice, &mut warnings);
    assert_eq!(warnings, Vec::<String>::new(), "{symbol}");
    read
}

fn cell(parameters: [f64; 6]) -> Lattice {
    Lattice::from_parameters(parameters).unwrap()
}

/// What the file's three names give: names of the settings and remarks, or the error.
fn read(
    hall: &str,
    symbol: &str,
    number: &str,
    lattice: &Lattice,
) -> Result<(Vec<String>, Vec<String>), String> {
    let mut warnings = Vec::new();
    let datum = |text, line| if text == "absent" { None } else { Some((text, line)) };
    settings(datum(hall, 1), datum(symbol, 2), datum(number, 3), lattice, &mut warnings)
        .map(|found| (found.into_iter().map(|s| s.name).collect(), warnings))
        .map_err(|e| e.to_string())
}

proptest! {
    #[test]
    fn no_text_makes_the_readers_panic(text in ".{0,60}", symbol in "[-PRFH]{1,2}[ _]?[-1-6abcnxyz'\"*/() ,_:.]{0,40}") {
        let lattice = cell([5.0, 5.0, 5.0, 90.0, 90.0, 90.0]);
        for text in [&text, &symbol] {
            let mut warnings = Vec::new();
            for (hall, symbol, number) in [(Some((text.as_str(), 1)), None, None), (None, Some((text.as_str(), 1)), Some(("14", 2)))] {
                match settings(hall, symbol, number, &lattice, &mut warnings) {
                    Ok(found) => prop_assert!(found.iter().all(|s| s.operations[0] == IDENTITY)),
                    Err(e) => prop_assert!(e.to_string().len() < 600, "{e}"),
                }
            }
        }
    }

}

#[test]
fn very_long_texts_are_refused_at_once() {
    let lattice = cell([5.0, 5.0, 5.0, 90.0, 90.0, 90.0]);
    for text in
        ["P 2".repeat(100_000), "<".repeat(300_000), "P".to_owned() + &" 2".repeat(100_000), "-4".repeat(45)]
    {
        assert!(hall::read(&text).is_err());
        assert!(read("absent", &text, "absent", &lattice).is_err());
    }
}
