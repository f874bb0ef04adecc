//! Tabulated settings of the space groups, and the names each goes by.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use moyo::data::{HallSymbolEntry, Setting as MoyoSetting, hall_symbol_entry, operations_from_number};

use super::change_of_basis::snap;
use super::hall;
use crate::{SymmetryOperation, wrap_unit};

/// Settings beside the 530 of International Tables: number, symbol, Hall symbol. Centred triclinic and monoclinic
/// cells, tetragonal C and F cells, and origins off the axes that protein crystallography uses (`a`).
const OTHER_SETTINGS: [(i32, &str, &str); 34] = [
    (1, "A 1", "A 1"),
    (1, "B 1", "B 1"),
    (1, "C 1", "C 1"),
    (1, "F 1", "F 1"),
    (1, "I 1", "I 1"),
    (2, "A -1", "-A 1"),
    (2, "B -1", "-B 1"),
    (2, "C -1", "-C 1"),
    (2, "F -1", "-F 1"),
    (2, "I -1", "-I 1"),
    (3, "B 1 2 1", "B 2y"),
    (3, "C 1 1 2", "C 2"),
    (4, "B 1 21 1", "B 2yb"),
    (4, "C 1 1 21", "C 2c"),
    (5, "I 1 21 1", "I 2yb"),
    (5, "C 1 21 1", "C 2yb"),
    (5, "F 1 2 1", "F 2y"),
    (8, "F 1 m 1", "F -2y"),
    (9, "F 1 d 1", "F -2yuw"),
    (12, "F 1 2/m 1", "-F 2y"),
    (18, "P 21 21 2a", "P 2ab 2a"),
    (20, "C 2 2 21a", "C 2ac 2"),
    (21, "C 2 2 2a", "C 2ab 2b"),
    (22, "F 2 2 2a", "F 2 2c"),
    (23, "I 2 2 2a", "I 2ab 2bc"),
    (64, "A b a m", "-A 2 2ab"),
    (89, "C 4 2 2", "C 4 2"),
    (90, "C 4 2 21", "C 4a 2"),
    (94, "P 42 21 2a", "P 4bc 2a"),
    (97, "F 4 2 2", "F 4 2"),
    (115, "C -4 2 m", "C -4 2"),
    (117, "C -4 2 b", "C -4 2ya"),
    (139, "F 4/m m m", "-F 4 2"),
    (197, "I 2 3a", "I 2ab 2bc 3"),
];

/// Symbols with the glide plane that was named before the double glide `e` (1992), by serial number of the Hall
/// symbol.
const BEFORE_DOUBLE_GLIDE: [(i32, &str); 36] = [
    (191, "A b m 2"),
    (192, "B m a 2"),
    (193, "B 2 c m"),
    (194, "C 2 m b"),
    (195, "C m 2 a"),
    (196, "A c 2 m"),
    (203, "A b a 2"),
    (204, "B b a 2"),
    (205, "B 2 c b"),
    (206, "C 2 c b"),
    (207, "C c 2 a"),
    (208, "A c 2 a"),
    (304, "C m c a"),
    (305, "C c m b"),
    (306, "A b m a"),
    (307, "A c a m"),
    (308, "B b c m"),
    (309, "B m a b"),
    (316, "C m m a"),
    (317, "C m m b"),
    (318, "A b m m"),
    (319, "A c m m"),
    (320, "B m c m"),
    (321, "B m a m"),
    (322, "C c c a"),
    (323, "C c c a"),
    (324, "C c c b"),
    (325, "C c c b"),
    (326, "A b a a"),
    (327, "A b a a"),
    (328, "A c a a"),
    (329, "A c a a"),
    (330, "B b c b"),
    (331, "B b c b"),
    (332, "B b a b"),
    (333, "B b a b"),
];

/// A tabulated choice of axes and origin.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub number: i32,
    /// Choice of origin (1, 2), axes (`H`, `R`, `cab`) or cell (`b1`, `-c2`); empty for the standard one.
    pub code: &'static str,
    /// Hall symbol, axis marks `'` and `"`.
    pub hall: String,
    /// Full Hermann–Mauguin symbol: lattice and parts.
    full: Vec<String>,
    /// Serial number of the Hall symbol, 1–530.
    serial: Option<i32>,
}

impl Setting {
    fn tabulated(entry: &HallSymbolEntry) -> Self {
        let full = entry.hm_full.replace('_', "");
        Self {
            number: entry.number,
            code: entry.setting,
            hall: entry.hall_symbol.replace('=', "\"").replace('^', "'"),
            full: parts(&full),
            serial: Some(entry.hall_number),
        }
    }

    /// All operations, centring included, the identity first.
    pub fn operations(&self) -> Vec<SymmetryOperation> {
        let Some(serial) = self.serial else {
            return hall::read(&self.hall).expect("every tabulated Hall symbol can be read");
        };
        operations_from_number(self.number, MoyoSetting::HallNumber(serial), false)
            .expect("every tabulated Hall symbol can be read")
            .iter()
            .map(|op| SymmetryOperation {
                rotation: op.rotation_as_array(),
                translation: op.translation.map(|t| wrap_unit(snap(t))).into(),
            })
            .collect()
    }

    /// Whether it is one of the 530 settings of International Tables.
    pub fn is_international(&self) -> bool {
        self.serial.is_some()
    }

    /// The symbol with its parts apart: short, but for monoclinic groups.
    pub fn symbol(&self) -> String {
        self.short().join(" ")
    }

    /// The choice of origin the code names.
    pub fn origin(&self) -> Option<char> {
        self.code.chars().next().filter(char::is_ascii_digit)
    }

    /// The short symbol: of planes with the axis across them the plane alone, but for principal axes.
    fn short(&self) -> Vec<String> {
        let kept = match self.number {
            1..=15 => return self.full.clone(),
            16..=74 | 195..=230 => 1,
            _ => 2,
        };
        let plane = |part: &String| part.rsplit('/').next().unwrap_or_default().to_owned();
        self.full[..kept].iter().cloned().chain(self.full[kept..].iter().map(plane)).collect()
    }
}

fn parts(symbol: &str) -> Vec<String> {
    symbol.split(' ').map(str::to_owned).collect()
}

/// A symbol that means a setting.
#[derive(Debug, Clone)]
pub(super) struct Name {
    /// Index of the setting in [`settings`].
    pub setting: usize,
    /// Lattice and parts, small letters.
    pub parts: Vec<String>,
    /// Names that are less of a name come later: 0 for full and short symbols, 1 for monoclinic symbols without their
    /// ones, 2 for those with one of them.
    pub rank: u8,
}

/// All settings: those of International Tables in their order, then others.
pub(super) fn settings() -> &'static [Setting] {
    static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
        let international = (1..=530).filter_map(hall_symbol_entry).map(|e| Setting::tabulated(&e));
        let other = OTHER_SETTINGS.iter().map(|&(number, symbol, hall)| Setting {
            number,
            code: "",
            hall: hall.to_owned(),
            full: parts(symbol),
            serial: None,
        });
        international.chain(other).collect()
    });
    &SETTINGS
}

/// Names by their parts joined (`p121/c1`).
pub(super) fn names() -> &'static HashMap<String, Vec<Name>> {
    static NAMES: LazyLock<HashMap<String, Vec<Name>>> = LazyLock::new(|| {
        let mut names: HashMap<String, Vec<Name>> = HashMap::new();
        for (setting, s) in settings().iter().enumerate() {
            for (parts, rank) in names_of(s) {
                names.entry(parts.concat()).or_default().push(Name { setting, parts, rank });
            }
        }
        names
    });
    &NAMES
}

/// Full and short symbols of a setting with their former variants, and its shortened monoclinic ones.
fn names_of(setting: &Setting) -> BTreeMap<Vec<String>, u8> {
    let mut symbols = vec![setting.full.clone(), setting.short()];
    for (_, old) in BEFORE_DOUBLE_GLIDE.iter().filter(|(serial, _)| setting.serial == Some(*serial)) {
        let old = parts(old);
        // The old letter in the full symbol.
        let full = setting.full.iter().zip(&old).map(|(full, old)| match full.rsplit_once('/') {
            Some((axis, _)) => format!("{axis}/{old}"),
            None => old.clone(),
        });
        symbols.push(full.collect());
        // The double glide in the short symbol, which takes the place of one letter.
        let double = setting
            .full
            .iter()
            .zip(&old)
            .map(|(full, old)| if full.ends_with('e') { "e".to_owned() } else { old.clone() });
        symbols.push(double.collect());
        symbols.push(old);
    }
    if let 200..=206 | 221..=230 = setting.number {
        // Before 1983 the threefold axis of centrosymmetric cubic groups had no bar.
        let unbarred = |part: &String| if part == "-3" { "3".to_owned() } else { part.clone() };
        let old: Vec<Vec<String>> = symbols.iter().map(|s| s.iter().map(unbarred).collect()).collect();
        symbols.extend(old);
    }
    if setting.code == "H" {
        // The Protein Data Bank's letter for rhombohedral lattices on hexagonal axes.
        let mut hexagonal = setting.short();
        hexagonal[0] = "H".into();
        symbols.push(hexagonal);
    }
    let mut names: BTreeMap<Vec<String>, u8> = BTreeMap::new();
    let mut add = |parts: Vec<String>, rank| {
        let parts = parts.into_iter().map(|p| p.to_ascii_lowercase()).collect();
        let known = names.entry(parts).or_insert(rank);
        *known = rank.min(*known);
    };
    symbols.into_iter().for_each(|s| add(s, 0));
    if let (3..=15, [lattice, x, y, z]) = (setting.number, &setting.full[..])
        && let Some(part) = [x, y, z].into_iter().find(|part| *part != "1")
    {
        add(vec![lattice.clone(), part.clone()], 1);
        // `P 2 1` may as well be P 2₁ with a stray blank.
        if part != "2" {
            add(vec![lattice.clone(), part.clone(), "1".into()], 2);
            add(vec![lattice.clone(), "1".into(), part.clone()], 2);
        }
    }
    names
}
