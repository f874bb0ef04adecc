//! The content of a store of entries in memory.

use super::{put_text, put_value, tag};
use crate::Entry;

/// BLAKE3 (hex) of the packed entries.
pub(crate) fn content_hash(entries: &[Entry]) -> String {
    blake3::hash(&encode(entries)).to_hex().to_string()
}

/// The entries as the bytes of the content.
pub(crate) fn encode(entries: &[Entry]) -> Vec<u8> {
    let atoms: usize = entries.iter().map(|e| e.structure.len()).sum();
    let mut out = Vec::with_capacity(64 + entries.len() * 160 + atoms * 25);
    out.extend((entries.len() as u64).to_le_bytes());
    for e in entries {
        out.extend((e.structure.len() as u32).to_le_bytes());
    }
    for x in entries.iter().flat_map(|e| e.structure.lattice.rows()).flatten() {
        out.extend(x.to_le_bytes());
    }
    for x in entries.iter().flat_map(|e| &e.structure.frac_coords).flatten() {
        out.extend(x.to_le_bytes());
    }
    out.extend(entries.iter().flat_map(|e| &e.structure.species).map(|s| s.z()));
    for e in entries {
        put_text(&mut out, &e.id);
    }
    let properties = || entries.iter().map(|e| &e.structure.properties);
    let mut names: Vec<&str> = properties().flat_map(|p| p.keys()).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    out.extend((names.len() as u32).to_le_bytes());
    for name in names {
        put_text(&mut out, name);
        out.extend(properties().map(|p| tag(p.get(name))));
        for value in properties().filter_map(|p| p.get(name)) {
            put_value(&mut out, value);
        }
    }
    out
}
