//! Data blocks of a CIF.

use crate::formats::Block;

/// Whether a text begins a CIF: a data block begins in it, and its first line is no row of a table with CIFs in it.
pub(in crate::formats) fn recognize(head: &str) -> bool {
    let first = head.lines().map(str::trim).find(|l| !l.is_empty());
    first.is_some_and(|first| !first.contains(','))
        && head.lines().any(|l| l.trim_start().to_ascii_lowercase().starts_with("data_"))
}

/// The data blocks of a CIF, without what precedes the first one. `data_` inside a text field between semicolons begins no
/// block.
pub(in crate::formats) fn split(text: &str) -> Vec<Block<'_>> {
    let mut starts = Vec::new();
    let (mut offset, mut in_text) = (0, false);
    for (k, line) in text.split_inclusive('\n').enumerate() {
        if line.starts_with(';') {
            in_text = !in_text;
        } else if !in_text {
            let trimmed = line.trim_start();
            if trimmed.get(..5).is_some_and(|t| t.eq_ignore_ascii_case("data_")) {
                starts.push((k + 1, offset));
            }
        }
        offset += line.len();
    }
    let ends = starts.iter().skip(1).map(|&(_, offset)| offset).chain([text.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&(line, start), end)| Block { line, name: name(&text[start..end]), text: &text[start..end] })
        // A block of publication data has no cell; it is no broken structure.
        .filter(|block| block.text.contains("_cell") || block.text.contains("_atom_site"))
        .collect()
}

/// What follows `data_`.
fn name(block: &str) -> Option<&str> {
    block.lines().next()?.trim().get(5..).filter(|name| !name.is_empty())
}
