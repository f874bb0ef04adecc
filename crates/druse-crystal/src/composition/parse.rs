//! The formula parser.

use std::collections::BTreeMap;

use super::Composition;
use crate::Element;

/// Why a text is not a formula druse can use. Positions count characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormulaError {
    /// There is nothing to read.
    #[error("formula is empty: expected something like `LiFeO2`")]
    Empty,
    /// A symbol names no element.
    #[error("formula `{formula}`: unknown element `{symbol}` at character {position}")]
    UnknownElement {
        /// The whole input.
        formula: String,
        /// The symbol.
        symbol: String,
        /// Where it stands.
        position: usize,
    },
    /// Deuterium or tritium, which have no atomic number of their own.
    #[error("formula `{formula}`: `{symbol}` at character {position} is an isotope of hydrogen; write `H`")]
    Isotope {
        /// The whole input.
        formula: String,
        /// `D` or `T`.
        symbol: char,
        /// Where it stands.
        position: usize,
    },
    /// An amount is not a whole number.
    #[error(
        "formula `{formula}`: fractional amount {amount} at character {position}; partial occupancies are not \
         supported, give whole numbers of atoms (a hydrate is written with brackets: `CuSO4(H2O)5`)"
    )]
    Fractional {
        /// The whole input.
        formula: String,
        /// The amount as written.
        amount: String,
        /// Where it stands.
        position: usize,
    },
    /// An amount is zero.
    #[error("formula `{formula}`: amount 0 at character {position}; leave the element out instead")]
    ZeroAmount {
        /// The whole input.
        formula: String,
        /// Where it stands.
        position: usize,
    },
    /// More than [`Composition::MAX_ATOMS`] atoms.
    #[error("formula `{formula}` has more than {} atoms", Composition::MAX_ATOMS)]
    TooManyAtoms {
        /// The input, cut off after 60 characters.
        formula: String,
    },
    /// A bracket is not closed, closed by the wrong kind, was never opened, or encloses nothing.
    #[error("formula `{formula}`: bracket `{bracket}` at character {position} {problem}")]
    Bracket {
        /// The whole input.
        formula: String,
        /// The bracket.
        bracket: char,
        /// Where it stands.
        position: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A character that has no place in a formula.
    #[error("formula `{formula}`: unexpected `{character}` at character {position}{hint}")]
    Unexpected {
        /// The whole input.
        formula: String,
        /// The character.
        character: char,
        /// Where it stands.
        position: usize,
        /// What to write instead, where that is clear.
        hint: &'static str,
    },
}

/// Longest part of the input that an error repeats.
const SHOWN: usize = 60;

struct Group {
    bracket: char,
    position: usize,
    counts: BTreeMap<Element, u32>,
}

/// Reads a formula into amounts; see [`Composition::parse`].
pub(super) fn parse(text: &str) -> Result<BTreeMap<Element, u32>, FormulaError> {
    let formula = || -> String {
        let mut shown: String = text.chars().take(SHOWN).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        shown
    };
    let too_many = || FormulaError::TooManyAtoms { formula: formula() };
    let mut chars = text.chars().enumerate().map(|(i, c)| (i + 1, c)).peekable();
    let mut stack: Vec<Group> = Vec::new();
    let mut counts = BTreeMap::<Element, u32>::new();
    while let Some((position, character)) = chars.next() {
        let unit = match character {
            ' ' | '\t' => continue,
            '(' | '[' | '{' => {
                stack.push(Group { bracket: character, position, counts: std::mem::take(&mut counts) });
                continue;
            }
            ')' | ']' | '}' => {
                let bracket_error = |problem| FormulaError::Bracket {
                    formula: formula(),
                    bracket: character,
                    position,
                    problem,
                };
                let group = stack.pop().ok_or_else(|| bracket_error("was never opened"))?;
                if !matches!((group.bracket, character), ('(', ')') | ('[', ']') | ('{', '}')) {
                    return Err(bracket_error("closes a bracket of another kind"));
                }
                if counts.is_empty() {
                    return Err(bracket_error("encloses nothing"));
                }
                std::mem::replace(&mut counts, group.counts)
            }
            'A'..='Z' => {
                let mut symbol = String::from(character);
                while let Some((_, c)) = chars.next_if(|(_, c)| c.is_ascii_lowercase()) {
                    if symbol.len() < SHOWN {
                        symbol.push(c);
                    }
                }
                match Element::from_symbol(&symbol) {
                    Ok(e) => BTreeMap::from([(e, 1)]),
                    Err(_) if matches!(symbol.as_str(), "D" | "T") => {
                        return Err(FormulaError::Isotope {
                            formula: formula(),
                            symbol: character,
                            position,
                        });
                    }
                    Err(_) => {
                        return Err(FormulaError::UnknownElement { formula: formula(), symbol, position });
                    }
                }
            }
            _ => {
                let hint = match character {
                    '·' | '•' | '∙' | '⋅' | '*' | '.' => {
                        "; a hydrate is written with brackets: `CuSO4(H2O)5`"
                    }
                    '+' | '-' | '−' | '^' => "; charges are not part of a formula",
                    'a'..='z' => "; an element begins with a capital letter",
                    '0'..='9' => "; an amount follows its element",
                    '₀'..='₉' => "; write amounts as plain digits",
                    _ => "",
                };
                return Err(FormulaError::Unexpected { formula: formula(), character, position, hint });
            }
        };
        let factor = match chars.peek().copied() {
            Some((position, first)) if first.is_ascii_digit() => {
                let mut amount = String::new();
                while let Some((_, c)) = chars.next_if(|(_, c)| c.is_ascii_digit() || *c == '.') {
                    amount.push(c);
                }
                let (whole, decimals) = amount.split_once('.').unwrap_or((&amount, ""));
                if decimals.bytes().any(|b| b != b'0') {
                    let amount = amount.chars().take(SHOWN).collect();
                    return Err(FormulaError::Fractional { formula: formula(), amount, position });
                }
                if whole.bytes().all(|b| b == b'0') {
                    return Err(FormulaError::ZeroAmount { formula: formula(), position });
                }
                whole.parse::<u32>().map_err(|_| too_many())?
            }
            _ => 1,
        };
        for (e, n) in unit {
            let sum = counts.entry(e).or_insert(0);
            *sum = n.checked_mul(factor).and_then(|n| sum.checked_add(n)).ok_or_else(too_many)?;
        }
        if counts.values().map(|&n| u64::from(n)).sum::<u64>() > u64::from(Composition::MAX_ATOMS) {
            return Err(too_many());
        }
    }
    if let Some(group) = stack.pop() {
        return Err(FormulaError::Bracket {
            formula: formula(),
            bracket: group.bracket,
            position: group.position,
            problem: "is never closed",
        });
    }
    if counts.is_empty() { Err(FormulaError::Empty) } else { Ok(counts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(s: &str) -> Vec<(&'static str, u32)> {
        parse(s).unwrap().into_iter().map(|(e, n)| (e.symbol(), n)).collect()
    }

    #[test]
    fn nested_brackets_multiply() {
        assert_eq!(counts("Ca(OH)2"), [("H", 2), ("O", 2), ("Ca", 1)]);
        assert_eq!(counts("K4[Fe(CN)6]"), [("C", 6), ("N", 6), ("K", 4), ("Fe", 1)]);
        assert_eq!(counts("{[(H)2]3}4"), [("H", 24)]);
        assert_eq!(counts("CuSO4(H2O)5"), [("H", 10), ("O", 9), ("S", 1), ("Cu", 1)]);
        assert_eq!(counts(" Li2.0 O1 "), [("Li", 2), ("O", 1)]);
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        let message = |s: &str| parse(s).unwrap_err().to_string();
        assert_eq!(parse(""), Err(FormulaError::Empty));
        assert_eq!(parse("  "), Err(FormulaError::Empty));
        assert!(message("(Li0.5Na0.5)Cl").contains("fractional amount 0.5 at character 4"));
        assert!(matches!(parse("CuSO4.5H2O"), Err(FormulaError::Fractional { .. })));
        assert!(message("CuSO4·5H2O").contains("hydrate"));
        assert!(message("LiXy2").contains("unknown element `Xy` at character 3"));
        assert!(matches!(parse("D2O"), Err(FormulaError::Isotope { symbol: 'D', position: 1, .. })));
        assert!(matches!(parse("Fe0"), Err(FormulaError::ZeroAmount { position: 3, .. })));
        assert!(message("Ca(OH2").contains("bracket `(` at character 3 is never closed"));
        assert!(message("CaOH)2").contains("was never opened"));
        assert!(message("Ca(OH]2").contains("another kind"));
        assert!(message("Ca()2").contains("encloses nothing"));
        assert!(message("Fe3+").contains("charges"));
        assert!(message("fe2O3").contains("capital"));
        assert!(message("2Fe").contains("an amount follows"));
        for s in ["C9999999", "C99999999999999999999", "((((C999)999)999)999)999", "C600000N600000"] {
            assert!(matches!(parse(s), Err(FormulaError::TooManyAtoms { .. })), "{s}");
        }
        // Deep nesting neither overflows the stack nor takes long.
        assert!(parse(&"(".repeat(1_000_000)).is_err());
        assert!(parse(&format!("{}C{}", "(".repeat(100_000), ")".repeat(100_000))).is_ok());
    }
}
