//! The reference of what `--json` writes, from its schema.

use serde_json::{Map, Value};

use super::{cell, wrapped};
use crate::answer::SCHEMA;

const HEAD: &str = "\
# JSON results

Made by `cargo xtask schema` from the types of the results; [json.schema.json](json.schema.json) is the
same as a JSON Schema.

`druse COMMAND … --json` writes one JSON object to standard output and nothing else there; what is for people goes to stderr. `--json FILE` writes it to a file (a name that ends in
`.json`, or any behind `=`), which appears whole or not at all, and leaves standard output to people.
Files that hold no result of druse are not replaced.

Data that a command writes to standard output by itself, such as the rows of `druse featurize`, are
members of the result when no file is named for them. `--out -` and `--json` cannot both have
standard output.

The members `schema`, `command`, `druse` and `warnings` stand in every object. A command that fails has
`error` in place of its result and the same exit code as without `--json`; it is written to standard
output alone, a file is left as it is. `schema` rises when a member goes or gets another meaning; new
members may come without.
";

/// The page.
pub fn page(schema: &Value) -> String {
    let mut text = HEAD.to_owned();
    let empty = Map::new();
    let definitions = schema["$defs"].as_object().unwrap_or(&empty);
    let (results, types): (Vec<_>, Vec<_>) =
        definitions.iter().partition(|(name, _)| name.starts_with(char::is_lowercase));
    let type_of = |name: &str| definitions.get(name);
    text += &format!("\nThis is version {SCHEMA} of the layout.\n\n## In every object\n\n");
    text += &type_of("Envelope").map(members).unwrap_or_default();
    text += "\n## Errors\n\n`error` is an object:\n\n";
    text += &type_of("ErrorReport").map(members).unwrap_or_default();
    for (_, result) in results.iter().filter(|(name, _)| *name != "error" && !name.starts_with("reference_"))
    {
        let name = result["description"].as_str().unwrap_or_default().trim_matches('`');
        text += &format!("\n## {name}\n\n");
        let Some(own) = result["allOf"].as_array().and_then(|all| all.last()) else { continue };
        text += &alternatives(own);
    }
    text += "\n## Types\n";
    for (name, of) in types.iter().filter(|(name, _)| !["Envelope", "ErrorReport"].contains(&name.as_str())) {
        text += &format!("\n### {name}\n\n");
        if let Some(words) = of["description"].as_str() {
            text += &format!("{}\n\n", wrapped(&plain(words)));
        }
        text += &alternatives(of);
    }
    text.trim_end().to_owned() + "\n"
}

/// The members of an object, or of each of several.
fn alternatives(of: &Value) -> String {
    let several = ["oneOf", "anyOf"].iter().find_map(|key| of[key].as_array());
    let Some(several) = several else { return members(of) };
    let own = members(of);
    let each = several.iter().filter(|one| one["type"] != "null").map(|one| match one["const"].as_str() {
        Some(value) => format!("- `{value}`: {}\n", description(one)),
        None if one["properties"].is_object() => {
            let tag = one["properties"].as_object().into_iter().flatten();
            let tag = tag.filter_map(|(name, of)| Some(format!("`{name}` is `{}`", of["const"].as_str()?)));
            let about = tag.chain(one["description"].as_str().map(plain)).collect::<Vec<_>>().join(": ");
            let more = match one["$ref"].is_string() {
                true => format!("\nand the members of {}\n", kind(one)),
                false => String::new(),
            };
            format!("{}\n\n{}{more}\n", wrapped(&about), members(one))
        }
        None => format!("- {}\n", kind(one)),
    });
    let each: String = each.collect();
    format!("{own}{each}").trim_end().to_owned() + "\n"
}

/// A table of members; what is no object in words.
fn members(of: &Value) -> String {
    let Some(all) = of["properties"].as_object() else {
        return match of["enum"].as_array() {
            Some(values) => {
                let values: Vec<String> =
                    values.iter().map(|v| format!("`{}`", v.as_str().unwrap_or_default())).collect();
                format!("One of {}.\n", values.join(", "))
            }
            None if of["oneOf"].is_array() || of["anyOf"].is_array() => String::new(),
            None => format!("{}.\n", kind(of)),
        };
    };
    let required: Vec<&str> =
        of["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut text = "| member | | |\n| --- | --- | --- |\n".to_owned();
    for (name, member) in all {
        let absent = if required.contains(&name.as_str()) { "" } else { ", may be absent" };
        text += &format!("| `{name}` | {}{absent} | {} |\n", kind(member), cell(&description(member)));
    }
    if of["additionalProperties"].is_object() {
        text += &format!("| others | {} | |\n", kind(&of["additionalProperties"]));
    }
    text
}

fn description(of: &Value) -> String {
    plain(of["description"].as_str().unwrap_or_default())
}

/// Words of a doc comment without links to items.
fn plain(words: &str) -> String {
    let words = words.replace("[`", "`").replace("`]", "`").replace("`None`", "`null`");
    // Targets of links: `[text](crate::item)` has become "`text`(crate::item)".
    let mut out = String::new();
    let mut rest = words.as_str();
    while let Some(at) = rest.find("`(crate::") {
        out += &rest[..=at];
        rest = rest[at..].split_once(')').map_or("", |(_, behind)| behind);
    }
    out + rest
}

/// What a member is: `number`, `list of …`, a type.
fn kind(of: &Value) -> String {
    if let Some(name) = of["$ref"].as_str().and_then(|name| name.rsplit('/').next()) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(value) = of.get("const") {
        return format!("`{value}`");
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(all) = of[key].as_array() {
            return all.iter().map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    let items = || match (&of["items"], of["prefixItems"].as_array()) {
        (_, Some(items)) => format!("list of {}", items.iter().map(kind).collect::<Vec<_>>().join(", ")),
        (items, None) => format!("list of {}", kind(items)),
    };
    let named = |name: &str| match name {
        "array" => items(),
        "object" => {
            let values = [&of["additionalProperties"], &of["patternProperties"]["^\\d+$"]];
            match values.iter().find(|values| values.is_object()) {
                Some(values) => format!("object of {}", kind(values)),
                None => "object".to_owned(),
            }
        }
        "string" => "text".to_owned(),
        other => other.to_owned(),
    };
    match &of["type"] {
        Value::String(name) => named(name),
        Value::Array(names) => {
            names.iter().filter_map(Value::as_str).map(named).collect::<Vec<_>>().join(" or ")
        }
        _ => "any value".to_owned(),
    }
}
