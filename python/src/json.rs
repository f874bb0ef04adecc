//! JSON values as Python's objects, and back.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde_json::{Map, Number, Value};

use crate::error::wrong;

/// A value as Python's own objects.
pub fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(b) => PyBool::new(py, *b).to_owned().into_any(),
        Value::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(n), _) => n.into_pyobject(py)?.into_any(),
            (None, Some(n)) => n.into_pyobject(py)?.into_any(),
            (None, None) => n.as_f64().unwrap_or(f64::NAN).into_pyobject(py)?.into_any(),
        },
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(list) => {
            let list: Vec<_> = list.iter().map(|v| to_python(py, v)).collect::<PyResult<_>>()?;
            PyList::new(py, list)?.into_any()
        }
        Value::Object(map) => object(py, map.iter())?.into_any(),
    })
}

/// Named values as a dictionary.
pub fn object<'py, 'v>(
    py: Python<'py>,
    entries: impl Iterator<Item = (&'v String, &'v Value)>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in entries {
        dict.set_item(key, to_python(py, value)?)?;
    }
    Ok(dict)
}

/// One of Python's objects as a value: numbers, text, lists, dictionaries, and what has `item()` or `tolist()`, as NumPy's
/// scalars and arrays have. Numbers that are not finite are `null`.
pub fn from_python(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    let py = value.py();
    if value.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(b) = value.cast::<PyBool>() {
        return Ok(b.is_true().into());
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(match value.extract::<i64>() {
            Ok(n) => n.into(),
            Err(_) => number(value.extract::<f64>()?),
        });
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(number(value.extract()?));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(text.to_cow()?.into_owned().into());
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        let mut map = Map::new();
        for (key, value) in dict {
            map.insert(key.str()?.to_cow()?.into_owned(), from_python(&value)?);
        }
        return Ok(map.into());
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let list: Vec<Value> = value.try_iter()?.map(|v| from_python(&v?)).collect::<PyResult<_>>()?;
        return Ok(list.into());
    }
    // NumPy's, by what they can do.
    if let Ok(plain) = value.call_method0("tolist")
        && !plain.is(value)
    {
        return from_python(&plain);
    }
    let kind = value.get_type().fully_qualified_name()?;
    Err(wrong(
        py,
        format!("a property cannot be of the type {kind}"),
        "give numbers, text, lists or dictionaries",
    ))
}

fn number(x: f64) -> Value {
    Number::from_f64(x).map_or(Value::Null, Value::Number)
}
