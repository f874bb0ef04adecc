//! Properties of structures as targets of learning.

use druse_crystal::Structure;
use serde_json::Value;

use crate::ModelError;
use crate::standardizer::Standardizer;

/// The number that a structure carries under a name; data sets put their columns there.
///
/// # Errors
/// [`ModelError::Property`] when it is missing (naming those that are there) or no number.
pub fn property_of(structure: &Structure, name: &str) -> Result<f64, ModelError> {
    let formula = || druse_crystal::Composition::from_species(&structure.species).formula();
    let wrong = |problem: String| ModelError::Property { name: name.to_owned(), problem };
    let value = structure.properties.get(name).ok_or_else(|| {
        let there: Vec<&str> = structure.properties.keys().map(String::as_str).collect();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        wrong(format!("{} does not have it; its properties: {there}", formula()))
    })?;
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_f64(),
    };
    number
        .filter(|x: &f64| x.is_finite())
        .ok_or_else(|| wrong(format!("{value} of {} is no number", formula())))
}

/// Mean and spread of a property over a training set.
///
/// # Errors
/// [`ModelError::Property`] as [`property_of`], and for fewer than two structures or values that do not differ.
pub fn fit_property(name: &str, training: &[&Structure]) -> Result<Standardizer, ModelError> {
    let rows: Vec<[f64; 1]> =
        training.iter().map(|s| Ok([property_of(s, name)?])).collect::<Result<_, ModelError>>()?;
    let wrong = |problem: String| Err(ModelError::Property { name: name.to_owned(), problem });
    match rows.as_slice() {
        [] | [_] => wrong(format!("{} training structures are too few to learn it", rows.len())),
        [first, rest @ ..] if rest.iter().all(|x| x == first) => {
            wrong(format!("it is {} for all {} training structures", first[0], rows.len()))
        }
        _ => Ok(Standardizer::fit(&rows)),
    }
}

#[cfg(test)]
mod tests {
    use druse_crystal::{Element, Lattice};

    use super::*;

    fn with(value: Value) -> Structure {
        let cell = Lattice::cubic(4.0).unwrap();
        let mut s = Structure::new(cell, vec![Element::from_symbol("Fe").unwrap()], vec![[0.0; 3]]).unwrap();
        s.properties.insert("energy".into(), value);
        s
    }

    #[test]
    fn missing_and_unusable_values_are_named() {
        assert_eq!(property_of(&with((-1.5).into()), "energy"), Ok(-1.5));
        assert_eq!(property_of(&with(" 2.5 ".into()), "energy"), Ok(2.5));
        let message = property_of(&with(1.into()), "gap").unwrap_err().to_string();
        assert!(message.contains("gap") && message.contains("energy") && message.contains("Fe"), "{message}");
        for bad in [Value::Null, "high".into(), Value::Bool(true), "NaN".into()] {
            let message = property_of(&with(bad), "energy").unwrap_err().to_string();
            assert!(message.contains("no number"), "{message}");
        }
    }

    #[test]
    fn a_property_that_does_not_vary_is_refused() {
        let (a, b) = (with(1.0.into()), with(2.0.into()));
        assert_eq!(fit_property("energy", &[&a, &b]).unwrap().mean, [1.5]);
        for set in [&[&a, &a][..], &[&a], &[]] {
            assert!(matches!(fit_property("energy", set), Err(ModelError::Property { .. })));
        }
    }
}
