//! The reference of the configuration, from its JSON Schema.

use druse_models::registry::Registry;
use druse_run::RunConfig;
use druse_run::presets::describe_presets;
use serde_json::{Map, Value};

use super::{cell, wrapped};

const HEAD: &str = "\
# Configuration

Made by `cargo xtask schema` from the program's own definitions;
[config.schema.json](config.schema.json) is the same as a JSON Schema, which editors understand.

A configuration is TOML. Its layers are a preset, a file (`--config`), single values
(`--set KEY=VALUE`) and options such as `--data`; later ones win. `druse config show` prints the
result. A key that is absent has the value of the layer before, in the end the default below;
presets replace many of them. A default of `–` means that the key has no value.
";

/// The page.
pub fn page(registry: &Registry) -> String {
    let schema = RunConfig::schema(registry);
    let none = Map::new();
    let definitions = schema["$defs"].as_object().unwrap_or(&none);
    let mut text = HEAD.to_owned();

    text += "\n## Presets\n\n| preset | kind of model | |\n| --- | --- | --- |\n";
    for (name, description) in describe_presets(registry) {
        let kind = registry.preset(name).map_or("", |(kind, _)| kind.name());
        text += &format!("| `{name}` | `{kind}` | {} |\n", cell(&description));
    }

    for section in ["data", "optim", "train"] {
        let form = resolved(&schema["properties"][section], definitions);
        text += &format!("\n## `[{section}]`\n\n{}\n\n", wrapped(description(form)));
        text += &table(form, section, None, definitions);
    }

    for (kind, form) in registry.kinds().iter().zip(models(&schema)) {
        text += &format!(
            "\n## `[model]` of kind `{}`\n\n{}.\n\n",
            kind.name(),
            wrapped(&sentence(kind.summary()))
        );
        let defaults = Value::Object(kind.defaults().settings);
        text += &table(form, "model", Some(&defaults), definitions);
        let sampling = Value::Object(kind.sampling_defaults());
        text += &format!("\n### `[sampling]` of kind `{}`\n\n", kind.name());
        match sampling.as_object().is_none_or(Map::is_empty) {
            true => text += "Nothing can be set.\n",
            false => {
                text += "Also `--set` of the commands that sample, without the name of the section.\n\n";
                let keys = sampling.as_object().unwrap_or(&none);
                let form = samplings(&schema).find(|form| has_keys(form, keys)).unwrap_or(&Value::Null);
                text += &table(form, "sampling", Some(&sampling), definitions);
            }
        }
    }
    text
}

/// With a capital.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn models(schema: &Value) -> impl Iterator<Item = &Value> {
    schema["properties"]["model"]["oneOf"].as_array().into_iter().flatten()
}

fn samplings(schema: &Value) -> impl Iterator<Item = &Value> {
    schema["properties"]["sampling"]["anyOf"].as_array().into_iter().flatten()
}

fn has_keys(form: &Value, keys: &Map<String, Value>) -> bool {
    form["properties"]
        .as_object()
        .is_some_and(|p| p.len() == keys.len() && p.keys().all(|k| keys.contains_key(k)))
}

/// The form that a reference stands for.
fn resolved<'s>(form: &'s Value, definitions: &'s Map<String, Value>) -> &'s Value {
    let name = form["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/"));
    name.and_then(|name| definitions.get(name)).unwrap_or(form)
}

fn description(form: &Value) -> &str {
    form["description"].as_str().unwrap_or_default()
}

fn table(form: &Value, prefix: &str, defaults: Option<&Value>, definitions: &Map<String, Value>) -> String {
    let mut text = "| key | type | default | |\n| --- | --- | --- | --- |\n".to_owned();
    rows(form, prefix, defaults, definitions, &mut text);
    text
}

/// A row for each key; the keys of an inner table follow it.
fn rows(
    form: &Value,
    prefix: &str,
    defaults: Option<&Value>,
    definitions: &Map<String, Value>,
    text: &mut String,
) {
    for (name, property) in form["properties"].as_object().into_iter().flatten() {
        let inner = resolved(property, definitions);
        let key = format!("{prefix}.{name}");
        let default = defaults.and_then(|d| d.get(name)).or(property.get("default"));
        let words = property.get("description").or(inner.get("description")).and_then(Value::as_str);
        let words = cell(words.unwrap_or_default());
        if inner["properties"].is_object() {
            text.push_str(&format!("| `{key}` | table | | {words} |\n"));
            rows(inner, &key, default, definitions, text);
        } else if let Some(value) = property.get("const").and_then(Value::as_str) {
            text.push_str(&format!("| `{key}` | `\"{value}\"` | | Says which kind of model it is. |\n"));
        } else {
            let values = values(inner, definitions);
            let values = if values.is_empty() { values } else { format!(" {values}") };
            let kind = type_of(property, definitions);
            text.push_str(&format!("| `{key}` | {kind} | {} | {words}{values} |\n", shown(default)));
        }
    }
}

/// What a value may be.
fn type_of(form: &Value, definitions: &Map<String, Value>) -> String {
    let inner = resolved(form, definitions);
    for choice in ["anyOf", "oneOf"] {
        let Some(choices) = inner[choice].as_array() else { continue };
        if choices.iter().all(|c| c["const"].is_string()) {
            return "text".into();
        }
        // A key that may be absent is written as a choice of its type or nothing.
        let mut kinds: Vec<String> = choices.iter().map(|c| type_of(c, definitions)).collect();
        kinds.retain(|kind| kind != "null");
        kinds.dedup();
        return kinds.join(" or ");
    }
    if inner["enum"].is_array() {
        return "text".into();
    }
    let names: Vec<&str> = match &inner["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let has_list_of_forms = inner["prefixItems"].is_array() || inner["items"].is_object();
    let word = |name: &str| match name {
        "string" => "text".to_owned(),
        "boolean" => "true or false".to_owned(),
        "integer" => "whole number".to_owned(),
        "array" if has_list_of_forms => list(inner, definitions),
        "array" => "list".to_owned(),
        "object" => "table".to_owned(),
        other => other.to_owned(),
    };
    let kinds: Vec<String> =
        names.iter().filter(|n| names.len() == 1 || **n != "null").map(|n| word(n)).collect();
    kinds.join(" or ")
}

fn list(form: &Value, definitions: &Map<String, Value>) -> String {
    let item = match form["prefixItems"].as_array().and_then(|items| items.first()) {
        Some(first) => type_of(first, definitions),
        None => type_of(&form["items"], definitions),
    };
    match (form["minItems"].as_u64(), form["maxItems"].as_u64()) {
        (Some(least), Some(most)) if least == most => format!("list of {least}: {item}"),
        _ => format!("list: {item}"),
    }
}

/// The words that a key may have, with what they mean.
fn values(form: &Value, definitions: &Map<String, Value>) -> String {
    let mut found = Vec::new();
    for choice in ["oneOf", "anyOf"] {
        for form in form[choice].as_array().into_iter().flatten() {
            let form = resolved(form, definitions);
            let meaning = description(form);
            let meaning = if meaning.is_empty() { String::new() } else { format!(": {}", cell(meaning)) };
            if let Some(word) = form["const"].as_str() {
                found.push(format!("`{word}`{meaning}"));
            }
            for word in form["enum"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                found.push(format!("`{word}`"));
            }
        }
    }
    for word in form["enum"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        found.push(format!("`{word}`"));
    }
    match found.iter().any(|f| f.ends_with('.')) {
        true => found.join(" "),
        false => found.join(", "),
    }
}

/// A default as TOML would have it.
fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "–".into(),
        // Long lists of numbers belong to a network that was published with them.
        Some(Value::Array(list)) if list.len() > 2 => format!("{} values", list.len()),
        Some(value) => format!("`{}`", value.to_string().replace(',', ", ")),
    }
}
