//! Every setting by all its symbols, however they are written.

use super::super::*;
use super::{known, read_symbol};

/// A symbol in the ways files write it.
fn spellings(symbol: &str) -> Vec<String> {
    let screws = |before: &str, after: &str| {
        let mut text = String::new();
        let mut last = ' ';
        for c in symbol.chars() {
            match (last, c) {
                ('2' | '3' | '4' | '6', '1'..='5') => text.extend([before, &c.to_string(), after]),
                _ => text.push(c),
            }
            last = c;
        }
        text
    };
    let bars = |text: &str, bar: &dyn Fn(char) -> String| {
        let mut parts = text.split('-');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + &bar(part.chars().next().unwrap()) + &part[1..])
    };
    let mut all = vec![
        symbol.to_owned(),
        symbol.replace(' ', "_"),
        symbol.replacen(' ', "", 1),
        symbol.to_lowercase(),
        symbol.to_uppercase(),
        screws("_", ""),
        screws("(", ")"),
        screws("<sub>", "</sub>"),
        screws("~", "~"),
        bars(&format!("${}$", screws("_{", "}")), &|c| format!("\\bar{{{c}}}")),
        bars(symbol, &|c| format!("{c}\u{305}")),
        bars(symbol, &|c| format!("−{c}")),
    ];
    all.extend(all.clone().iter().map(|s| s.replace(' ', "")));
    all.sort();
    all.dedup();
    all
}

#[test]
fn every_tabulated_setting_is_read_from_every_spelling_of_its_symbols() {
    let (mut read, mut refused) = (0, 0);
    for known in known() {
        let cell = known.cell();
        for symbol in known.symbols() {
            for suffix in known.suffixes() {
                for spelled in spellings(&symbol) {
                    let spelled = spelled + suffix;
                    match read_symbol(&spelled, &cell) {
                        Err(_) => refused += 1,
                        Ok(settings) => {
                            read += 1;
                            let same = |s: &SpaceGroupSetting| same_group(&s.operations, &known.operations);
                            assert!(settings.iter().any(same), "{spelled}: {:?}", settings[0].name);
                            // With origin or axes chosen nothing is left open but which of two double glide planes
                            // the symbol means.
                            let chosen = !suffix.is_empty() && !spelled.to_lowercase().contains('e');
                            assert!(!chosen || settings.len() == 1, "{spelled}: {} settings", settings.len());
                        }
                    }
                }
            }
        }
    }
    assert!(read > 20_000, "{read}");
    assert_eq!(refused, 0, "of {read}");
}
