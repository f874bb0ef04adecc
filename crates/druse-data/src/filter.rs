//! Conditions that choose structures.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use druse_crystal::{Element, ElementError, Properties, Structure};
use serde_json::Value;

use crate::properties;

/// Why a filter does not parse or does not fit a data set.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FilterError {
    /// The text is no comparison.
    #[error(
        "`{text}` is no filter: expected NAME OPERATOR VALUE such as `e_above_hull<0.1`, with one of < <= > >= = !="
    )]
    Syntax {
        /// The text.
        text: String,
    },
    /// An ordering needs a number on the right.
    #[error("`{value}` in the filter `{text}` is not a finite number")]
    Number {
        /// The text.
        text: String,
        /// The right-hand side.
        value: String,
    },
    /// No structure has this property.
    #[error("the data set `{dataset}` has no property `{name}`; it has {}", if available.is_empty() { "none".to_owned() } else { available.join(", ") })]
    UnknownProperty {
        /// Name of the data set.
        dataset: String,
        /// The property asked for.
        name: String,
        /// The properties that exist.
        available: Vec<String>,
    },
    /// The property cannot be compared with the filter's value.
    #[error(
        "the property `{name}` of structure `{id}` is {found} (`{value}`) and cannot be compared by `{filter}`"
    )]
    Incomparable {
        /// The property.
        name: String,
        /// Identifier of the first such structure.
        id: String,
        /// What the property is.
        found: &'static str,
        /// The property's value.
        value: String,
        /// The filter.
        filter: String,
    },
}

/// A comparison of a property with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `=` or `==`
    Equal,
    /// `!=`
    NotEqual,
}

impl Comparison {
    const fn symbol(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Equal => "=",
            Self::NotEqual => "!=",
        }
    }

    const fn is_ordering(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }

    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Equal => left == right,
            Self::NotEqual => left != right,
        }
    }
}

/// A condition on one structure. A structure without the property in question does not pass.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// At least this many atoms in the cell.
    MinAtoms(usize),
    /// At most this many atoms in the cell.
    MaxAtoms(usize),
    /// At least this many different elements.
    MinElements(usize),
    /// At most this many different elements.
    MaxElements(usize),
    /// No element outside this set.
    AllowedElements(BTreeSet<Element>),
    /// Every element of this set.
    RequiredElements(BTreeSet<Element>),
    /// No element of this set.
    ExcludedElements(BTreeSet<Element>),
    /// A comparison of a property, parsed from text such as `e_above_hull<0.1`.
    Property {
        /// Name of the property.
        name: String,
        /// The comparison.
        comparison: Comparison,
        /// What the property is compared with, in the form of [`properties::scalar`](crate::properties::scalar).
        value: Value,
    },
}

impl Filter {
    /// Whether the structure passes.
    pub fn accepts(&self, structure: &Structure) -> bool {
        self.accepts_structure(structure) && self.accepts_properties(&structure.properties)
    }

    /// Keeps structures of these elements, given by their symbols.
    ///
    /// # Errors
    /// [`ElementError`] for a symbol of no element.
    pub fn allowed_elements<S: AsRef<str>>(symbols: &[S]) -> Result<Self, ElementError> {
        let elements = symbols.iter().map(|s| Element::from_symbol(s.as_ref()));
        Ok(Self::AllowedElements(elements.collect::<Result<_, _>>()?))
    }

    /// Whether a structure passes; a comparison of a property says nothing about it.
    pub(crate) fn accepts_structure(&self, structure: &Structure) -> bool {
        let elements = || structure.species.iter().copied().collect::<BTreeSet<_>>();
        match self {
            Self::MinAtoms(n) => structure.len() >= *n,
            Self::MaxAtoms(n) => structure.len() <= *n,
            Self::MinElements(n) => elements().len() >= *n,
            Self::MaxElements(n) => elements().len() <= *n,
            Self::AllowedElements(set) => structure.species.iter().all(|e| set.contains(e)),
            Self::RequiredElements(set) => elements().is_superset(set),
            Self::ExcludedElements(set) => !structure.species.iter().any(|e| set.contains(e)),
            Self::Property { .. } => true,
        }
    }

    /// Whether properties pass; conditions on the structure say nothing about them.
    pub(crate) fn accepts_properties(&self, properties: &Properties) -> bool {
        let Self::Property { name, comparison, value } = self else { return true };
        properties.get(name).is_some_and(|found| match (found, value) {
            (Value::Number(a), Value::Number(b)) => {
                a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| comparison.holds(a, b))
            }
            _ if *comparison == Comparison::Equal => same(found, value),
            _ if *comparison == Comparison::NotEqual => !same(found, value),
            _ => false,
        })
    }

    /// Checks that a row, given by identifier and properties, can be compared so; one without the property can.
    pub(crate) fn check(&self, id: &str, properties: &Properties) -> Result<(), FilterError> {
        let Self::Property { name, comparison, .. } = self else { return Ok(()) };
        match properties.get(name) {
            Some(found) if comparison.is_ordering() && !found.is_number() => Err(FilterError::Incomparable {
                name: name.clone(),
                id: id.to_owned(),
                found: properties::kind(found),
                value: properties::text(found),
                filter: self.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// Checks that rows, given by identifier and properties, can be filtered so.
    pub(crate) fn check_rows<'a>(
        &self,
        dataset: &str,
        rows: impl Iterator<Item = (&'a str, &'a Properties)>,
    ) -> Result<(), FilterError> {
        let Self::Property { name, .. } = self else { return Ok(()) };
        let (mut seen, mut available) = (false, BTreeSet::new());
        for (id, properties) in rows {
            if !properties.contains_key(name) {
                if !seen {
                    available.extend(properties.keys());
                }
                continue;
            }
            seen = true;
            self.check(id, properties)?;
        }
        if seen {
            return Ok(());
        }
        Err(FilterError::UnknownProperty {
            dataset: dataset.to_owned(),
            name: name.clone(),
            available: available.into_iter().cloned().collect(),
        })
    }
}

/// Equality across kinds: `year=1997` should find the text `1997` too.
fn same(a: &Value, b: &Value) -> bool {
    a == b || properties::text(a) == properties::text(b)
}

impl FromStr for Filter {
    type Err = FilterError;

    /// Parses `NAME OPERATOR VALUE`. The value may be quoted; for `=` and `!=` it may be text.
    fn from_str(text: &str) -> Result<Self, FilterError> {
        let syntax = || FilterError::Syntax { text: text.to_owned() };
        let at = text.find(['<', '>', '=', '!']).ok_or_else(syntax)?;
        let (name, rest) = (text[..at].trim(), &text[at..]);
        let (comparison, length) = match rest.as_bytes() {
            [b'<', b'=', ..] => (Comparison::LessOrEqual, 2),
            [b'>', b'=', ..] => (Comparison::GreaterOrEqual, 2),
            [b'!', b'=', ..] => (Comparison::NotEqual, 2),
            [b'=', b'=', ..] => (Comparison::Equal, 2),
            [b'<', ..] => (Comparison::Less, 1),
            [b'>', ..] => (Comparison::Greater, 1),
            [b'=', ..] => (Comparison::Equal, 1),
            _ => return Err(syntax()),
        };
        let right = rest[length..].trim();
        if name.is_empty() || right.is_empty() || right.contains(['<', '>', '=', '!']) {
            return Err(syntax());
        }
        let unquoted =
            ['"', '\''].into_iter().find_map(|q| right.strip_prefix(q).and_then(|r| r.strip_suffix(q)));
        let number = right.parse().ok().and_then(properties::number);
        let value = match (unquoted, number) {
            (Some(quoted), _) => quoted.into(),
            (None, Some(number)) => number,
            (None, None) => match right.to_ascii_lowercase().as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                _ => right.into(),
            },
        };
        if comparison.is_ordering() && !value.is_number() {
            return Err(FilterError::Number { text: text.to_owned(), value: right.to_owned() });
        }
        Ok(Self::Property { name: name.to_owned(), comparison, value })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |set: &BTreeSet<Element>| set.iter().map(|e| e.symbol()).collect::<Vec<_>>().join(",");
        match self {
            Self::MinAtoms(n) => write!(f, "atoms>={n}"),
            Self::MaxAtoms(n) => write!(f, "atoms<={n}"),
            Self::MinElements(n) => write!(f, "number of elements>={n}"),
            Self::MaxElements(n) => write!(f, "number of elements<={n}"),
            Self::AllowedElements(set) => write!(f, "only elements {}", list(set)),
            Self::RequiredElements(set) => write!(f, "with elements {}", list(set)),
            Self::ExcludedElements(set) => write!(f, "without elements {}", list(set)),
            Self::Property { name, comparison, value } => {
                write!(f, "{name}{}{}", comparison.symbol(), properties::text(value))
            }
        }
    }
}
