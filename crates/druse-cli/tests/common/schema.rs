//! A JSON Schema as far as the program's own use it: enough to check its results.
#![allow(dead_code, reason = "one test file uses it")]

use regex::Regex;
use serde_json::Value;

/// Why a value is not what a schema says; empty for one that is.
pub fn violations(whole: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(whole, schema, value, "", &mut found);
    found
}

fn check(whole: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let rules = match schema {
        Value::Bool(true) => return,
        Value::Object(rules) => rules,
        other => return found.push(format!("{at}: no value is allowed by {other}")),
    };
    for (key, rule) in rules {
        match key.as_str() {
            "$ref" => {
                let pointer =
                    rule.as_str().unwrap().strip_prefix('#').expect("a reference within the schema");
                let target = whole.pointer(pointer).unwrap_or_else(|| panic!("{pointer} leads nowhere"));
                check(whole, target, value, at, found);
            }
            "type" => {
                let names: Vec<&str> = match rule {
                    Value::String(name) => vec![name],
                    several => several.as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect(),
                };
                if !names.iter().any(|name| is(value, name)) {
                    found.push(format!("{at}: {} is no {}", short(value), names.join(" or ")));
                }
            }
            "const" if value != rule => found.push(format!("{at}: {} is not {rule}", short(value))),
            "enum" if !rule.as_array().unwrap().contains(value) => {
                found.push(format!("{at}: {} is none of {rule}", short(value)));
            }
            "minimum" if value.as_f64().is_some_and(|x| x < rule.as_f64().unwrap()) => {
                found.push(format!("{at}: {value} is less than {rule}"));
            }
            "minItems" | "maxItems" => {
                let limit = rule.as_u64().unwrap() as usize;
                let length = value.as_array().map(Vec::len);
                let wrong = |n: usize| if key == "minItems" { n < limit } else { n > limit };
                if length.is_some_and(wrong) {
                    found.push(format!("{at}: {length:?} items, {key} {limit}"));
                }
            }
            "required" => {
                for name in rule.as_array().unwrap() {
                    if value.as_object().is_some_and(|o| !o.contains_key(name.as_str().unwrap())) {
                        found.push(format!("{at}: {name} is missing"));
                    }
                }
            }
            "properties" => {
                for (name, rule) in rule.as_object().unwrap() {
                    if let Some(member) = value.get(name) {
                        check(whole, rule, member, &format!("{at}/{name}"), found);
                    }
                }
            }
            "patternProperties" | "additionalProperties" => {}
            "items" => {
                let first = rules.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
                for (k, item) in value.as_array().into_iter().flatten().enumerate().skip(first) {
                    check(whole, rule, item, &format!("{at}/{k}"), found);
                }
            }
            "prefixItems" => {
                for ((k, rule), item) in
                    rule.as_array().unwrap().iter().enumerate().zip(value.as_array().into_iter().flatten())
                {
                    check(whole, rule, item, &format!("{at}/{k}"), found);
                }
            }
            "allOf" => {
                rule.as_array().unwrap().iter().for_each(|rule| check(whole, rule, value, at, found));
            }
            "anyOf" | "oneOf" => {
                let all: Vec<Vec<String>> =
                    rule.as_array().unwrap().iter().map(|rule| violations(whole, rule, value)).collect();
                let fitting = all.iter().filter(|problems| problems.is_empty()).count();
                if fitting == 0 {
                    found.push(format!("{at}: {} fits none of {key}: {all:?}", short(value)));
                }
                if fitting > 1 && key == "oneOf" {
                    found.push(format!("{at}: {} fits {fitting} of oneOf", short(value)));
                }
            }
            "not" => {
                if violations(whole, rule, value).is_empty() {
                    found.push(format!("{at}: it is what it must not be: {rule}"));
                }
            }
            "const" | "enum" | "minimum" | "maximum" | "format" | "description" | "title" | "default"
            | "$schema" | "$defs" => {}
            other => panic!("the test does not know `{other}`"),
        }
    }
    others(whole, rules, value, at, found);
}

/// Members that `properties` does not name.
fn others(
    whole: &Value,
    rules: &serde_json::Map<String, Value>,
    value: &Value,
    at: &str,
    found: &mut Vec<String>,
) {
    let Some(object) = value.as_object() else { return };
    let named = rules.get("properties").and_then(Value::as_object);
    let patterns = rules.get("patternProperties").and_then(Value::as_object);
    for (name, member) in object.iter().filter(|(name, _)| named.is_none_or(|n| !n.contains_key(*name))) {
        let pattern = patterns.into_iter().flatten().find(|(p, _)| Regex::new(p).unwrap().is_match(name));
        if let Some(rule) = pattern.map(|(_, rule)| rule).or(rules.get("additionalProperties")) {
            check(whole, rule, member, &format!("{at}/{name}"), found);
        }
    }
}

/// The members that a schema names, those of its parts included; `None` where it allows any.
pub fn members(whole: &Value, schema: &Value) -> Option<Vec<String>> {
    let mut all = Vec::new();
    for (key, rule) in schema.as_object()? {
        match key.as_str() {
            "$ref" => {
                all.extend(members(whole, whole.pointer(rule.as_str()?.strip_prefix('#')?)?)?);
            }
            "properties" => all.extend(rule.as_object()?.keys().cloned()),
            "additionalProperties" if rule.is_object() => return None,
            "allOf" | "anyOf" | "oneOf" => {
                for part in rule.as_array()?.iter().filter(|part| part["type"] != "null") {
                    all.extend(members(whole, part)?);
                }
            }
            _ => {}
        }
    }
    Some(all)
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("`{other}` is no type"),
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}
