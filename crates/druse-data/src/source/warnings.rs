//! Counts warnings, so that a set of many structures is described in a few lines.

use std::collections::{BTreeMap, HashSet};

use druse_crystal::formats::{Warning, WarningKind};

use crate::entry::fingerprint;

/// Different warnings about files that are kept, and different ones of a kind about structures.
const MAX_OF_FILES: usize = 20;
const MAX_OF_A_KIND: usize = 4;

/// The warnings about a source: each text once with its count, and those about many structures by their kind.
#[derive(Default)]
pub(super) struct Warnings {
    files: Vec<(String, usize)>,
    structures: BTreeMap<WarningKind, OfKind>,
}

/// Counts identifiers that occur more than once; of each half of its BLAKE3 sum is remembered.
#[derive(Default)]
pub(super) struct RepeatedIds {
    seen: HashSet<u128>,
    repeated: usize,
    /// The first of them in alphabetical order.
    first: Option<String>,
}

impl RepeatedIds {
    pub fn add(&mut self, id: &str) {
        if !self.seen.insert(fingerprint(id.as_bytes())) {
            self.repeated += 1;
            if self.first.as_deref().is_none_or(|first| id < first) {
                self.first = Some(id.to_owned());
            }
        }
    }
}

/// The warnings of one kind.
#[derive(Default)]
struct OfKind {
    texts: Vec<(String, usize)>,
    /// Those whose text is not among them.
    others: usize,
}

impl Warnings {
    /// Adds warnings about files.
    pub fn of_files(&mut self, warnings: &[String]) {
        for warning in warnings {
            count(&mut self.files, warning, MAX_OF_FILES);
        }
    }

    /// Adds the warnings about one structure.
    pub fn of_structure(&mut self, warnings: &[Warning]) {
        for warning in warnings {
            let of_kind = self.structures.entry(warning.kind).or_default();
            let counted = count(&mut of_kind.texts, &warning.text, MAX_OF_A_KIND);
            of_kind.others += usize::from(!counted);
        }
    }

    /// Adds one about identifiers that occur more than once.
    pub fn repeated_ids(&mut self, ids: &RepeatedIds) {
        if let Some(first) = &ids.first {
            let text = format!("{} identifiers repeat an earlier one, such as `{first}`", ids.repeated);
            self.files.push((text, 1));
        }
    }

    /// The lines.
    pub fn finish(self) -> Vec<String> {
        let times = |(text, n): (String, usize)| if n == 1 { text } else { format!("{text} ({n} times)") };
        let of_structures = self.structures.into_iter().flat_map(|(kind, OfKind { texts, others })| {
            let total = others + texts.iter().map(|(_, n)| n).sum::<usize>();
            match (others, texts.first()) {
                (1.., Some((first, _))) => vec![format!("{}: {total} times, first: {first}", kind.summary())],
                _ => texts.into_iter().map(times).collect(),
            }
        });
        of_structures.chain(self.files.into_iter().map(times)).collect()
    }
}

/// Counts a text unless it is new and there is no place for it.
fn count(texts: &mut Vec<(String, usize)>, text: &str, most: usize) -> bool {
    if let Some((_, n)) = texts.iter_mut().find(|(known, _)| known == text) {
        *n += 1;
    } else if texts.len() < most {
        texts.push((text.to_owned(), 1));
    } else {
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_different_warnings_of_a_kind_become_one_line() {
        let mut warnings = Warnings::default();
        for k in 0..7 {
            let text = format!("sites do not give H{k}");
            warnings.of_structure(&[
                Warning::new(WarningKind::NotKept, "flags were not kept"),
                Warning::new(WarningKind::ContradictedContent, text),
            ]);
        }
        warnings.of_files(&["`a` is passed over".into()]);
        assert_eq!(
            warnings.finish(),
            [
                "flags were not kept (7 times)",
                "the sites do not give the stated content: 7 times, first: sites do not give H0",
                "`a` is passed over",
            ]
        );
    }
}
