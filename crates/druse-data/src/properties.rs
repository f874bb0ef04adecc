//! Values of properties in a data set: truth values, finite numbers and text.
//!
//! Properties live in [`Structure::properties`](druse_crystal::Structure::properties) as JSON. What a data set holds is in
//! one form, so that equal values are equal JSON: whole numbers below 2⁵³ are integers, other numbers are 64-bit floats,
//! lists and objects are their JSON text, and `null` is no value.

use serde_json::Value;

/// 2⁵³: below it every whole number is an `f64`.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// The number as JSON; `None` for NaN and infinities.
pub fn number(x: f64) -> Option<Value> {
    // -0 stays a float, an integer would lose its sign.
    if x.fract() == 0.0 && x.abs() < MAX_WHOLE && x.to_bits() != (-0.0f64).to_bits() {
        return Some((x as i64).into());
    }
    x.is_finite().then(|| x.into())
}

/// A JSON value in the form of data sets; `None` for `null`.
pub fn scalar(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Bool(b) => Some((*b).into()),
        Value::Number(n) => n.as_f64().and_then(number),
        Value::String(text) => Some(text.as_str().into()),
        nested => Some(nested.to_string().into()),
    }
}

/// The value as text: strings without quotation marks, numbers in the fewest digits that give them back.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(n) => n.as_f64().map_or_else(|| n.to_string(), |x| x.to_string()),
        other => other.to_string(),
    }
}

/// Word for the kind of value in messages.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_values_become_equal_json() {
        assert_eq!(scalar(&json!(3.0)), Some(json!(3)));
        assert_eq!(scalar(&json!(-0.0)).unwrap().to_string(), "-0.0");
        assert_eq!(scalar(&json!(u64::MAX)), Some(json!(u64::MAX as f64)));
        assert_eq!(scalar(&json!([1, "a"])), Some(json!("[1,\"a\"]")));
        assert_eq!(scalar(&json!(true)), Some(json!(true)));
        assert_eq!((scalar(&Value::Null), number(f64::NAN), number(f64::INFINITY)), (None, None, None));
    }

    #[test]
    fn numbers_are_written_as_short_as_they_can_be() {
        assert_eq!(number(1.0).map(|v| text(&v)).as_deref(), Some("1"));
        assert_eq!(text(&json!(-0.6840024999999998)), "-0.6840024999999998");
        assert_eq!((text(&json!("a b")), text(&json!(false))), ("a b".into(), "false".into()));
    }
}
