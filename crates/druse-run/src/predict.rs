//! Predictions of a property for a data set, and the vectors that they are made of.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use druse_crystal::{Element, Structure};
use druse_data::{Dataset, JsonlRecord, write_jsonl_record};
use druse_models::{ModelError, Predictor};
use druse_nn::Params;
use rayon::prelude::*;

use crate::RunError;

/// What is predicted for one structure, and what the data set says.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Identifier of the structure.
    pub id: String,
    /// The prediction in the unit of the training data, or why there is none.
    pub value: Result<f64, ModelError>,
    /// The value in the data set, where it has one.
    pub reference: Option<f64>,
    /// Elements that the model was not trained on.
    pub unseen: BTreeSet<Element>,
}

/// Predictions of one property.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// Name of the property.
    pub property: String,
    /// One entry a structure, in the order of the data set.
    pub rows: Vec<Prediction>,
}

/// How far predictions are from the values of the data set, over the structures that have both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PredictionError {
    /// Mean absolute error.
    pub mean_absolute: f64,
    /// Root of the mean squared error.
    pub root_mean_square: f64,
    /// Mean absolute deviation of the values from their mean: the error of a predictor that always says the mean.
    pub mean_absolute_deviation: f64,
    /// Number of structures.
    pub structures: usize,
}

/// Predicts the property of every structure, on all threads. A structure that the model cannot represent is an error in
/// its place.
///
/// # Errors
/// [`RunError::Model`] when the device fails.
pub fn predict(model: &dyn Predictor, params: &Params, set: &Dataset) -> Result<Predictions, RunError> {
    let checked: Vec<Result<(), ModelError>> =
        set.entries.par_iter().map(|entry| model.check(&entry.structure)).collect();
    let fit: Vec<&Structure> =
        set.structures().zip(&checked).filter(|(_, check)| check.is_ok()).map(|(s, _)| s).collect();
    let mut values = model.predict(params, &fit)?.into_iter();
    let property = model.property().to_owned();
    let rows = set.entries.iter().zip(checked).map(|(entry, check)| Prediction {
        id: entry.id.clone(),
        value: check.map(|()| values.next().expect("one prediction for each structure that was checked")),
        reference: entry.structure.properties.get(&property).and_then(serde_json::Value::as_f64),
        unseen: model.unseen(&entry.structure),
    });
    Ok(Predictions { rows: rows.collect(), property })
}

/// Structures whose vectors are computed between two looks at the stop flag.
const CHUNK: usize = 256;

/// The vector of every structure ([`Predictor::embed`]), on all threads, or why there is none. `done` hears how many are done.
///
/// # Errors
/// [`RunError::Model`] when the device fails, [`RunError::Interrupted`] when `stop` was set.
pub fn embed(
    model: &dyn Predictor,
    params: &Params,
    structures: &[&Structure],
    done: &mut dyn FnMut(usize),
    stop: &AtomicBool,
) -> Result<Vec<Result<Vec<f64>, ModelError>>, RunError> {
    let mut all = Vec::with_capacity(structures.len());
    for chunk in structures.chunks(CHUNK) {
        if stop.load(Ordering::Relaxed) {
            return Err(RunError::Interrupted);
        }
        match model.embed(params, chunk) {
            Ok(vectors) => all.extend(vectors.into_iter().map(Ok)),
            Err(e @ ModelError::Compute(_)) => return Err(e.into()),
            // Which of them it was.
            Err(_) => {
                let alone = |s: &&Structure| Ok(model.embed(params, &[*s])?.remove(0));
                all.par_extend(chunk.par_iter().map(alone));
            }
        }
        done(all.len());
    }
    Ok(all)
}

/// Writes vectors as a table in CSV: `id`, `e0`, `e1`, …, and `error` for a structure without one.
///
/// # Errors
/// The writer's error.
pub fn write_vectors(
    ids: &[&str],
    vectors: &[Result<Vec<f64>, ModelError>],
    mut out: impl Write,
) -> io::Result<()> {
    let width = vectors.iter().flatten().map(Vec::len).next().unwrap_or(0);
    let columns: String = (0..width).map(|k| format!(",e{k}")).collect();
    writeln!(out, "id{columns},error")?;
    for (id, vector) in ids.iter().zip(vectors) {
        let (numbers, error) = match vector {
            Ok(vector) => (vector.iter().map(|x| format!(",{x}")).collect(), String::new()),
            Err(e) => (",".repeat(width), e.to_string()),
        };
        writeln!(out, "{}{numbers},{}", csv_field(id), csv_field(&error))?;
    }
    Ok(())
}

impl Predictions {
    /// The error, unless no structure has both a prediction and a value.
    pub fn error(&self) -> Option<PredictionError> {
        let pairs: Vec<(f64, f64)> =
            self.rows.iter().filter_map(|row| Some((*row.value.as_ref().ok()?, row.reference?))).collect();
        if pairs.is_empty() {
            return None;
        }
        let n = pairs.len() as f64;
        let mean_of = |f: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>() / n;
        let mean = mean_of(&|p| p.1);
        Some(PredictionError {
            mean_absolute: mean_of(&|p| (p.0 - p.1).abs()),
            root_mean_square: mean_of(&|p| (p.0 - p.1).powi(2)).sqrt(),
            mean_absolute_deviation: mean_of(&|p| (p.1 - mean).abs()),
            structures: pairs.len(),
        })
    }

    /// Writes a table in CSV: `id,prediction,reference,error`. What does not exist is empty.
    ///
    /// # Errors
    /// The writer's error.
    pub fn write_csv(&self, mut out: impl Write) -> io::Result<()> {
        writeln!(out, "id,prediction,reference,error")?;
        for row in &self.rows {
            let number = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
            let (prediction, reference) = (number(row.value.as_ref().ok().copied()), number(row.reference));
            let error = row.value.as_ref().err().map_or(String::new(), ToString::to_string);
            writeln!(out, "{},{prediction},{reference},{}", csv_field(&row.id), csv_field(&error))?;
        }
        Ok(())
    }

    /// Writes the data set of the predictions as JSON Lines, with the prediction as property `column` where there is one.
    ///
    /// # Errors
    /// The writer's error.
    pub fn write_structures(&self, set: &Dataset, column: &str, mut out: impl Write) -> io::Result<()> {
        for (entry, row) in set.entries.iter().zip(&self.rows) {
            let mut record = JsonlRecord::from(entry);
            if let Ok(value) = row.value {
                record.properties.insert(column.to_owned(), value.into());
            }
            write_jsonl_record(&mut out, &record)?;
        }
        Ok(())
    }
}

/// A field of a CSV table, in quotation marks where it needs them.
pub(crate) fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, value: Result<f64, ModelError>, reference: Option<f64>) -> Prediction {
        Prediction { id: id.into(), value, reference, unseen: BTreeSet::new() }
    }

    #[test]
    fn vectors_are_rows_of_a_table() {
        let refusal = Err(ModelError::Output("no, \"nothing\"".into()));
        let mut text = Vec::new();
        write_vectors(&["a", "b,c"], &[Ok(vec![0.5, -2.0]), refusal], &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["id,e0,e1,error", "a,0.5,-2,"]);
        assert!(lines[2].starts_with("\"b,c\",,,\"") && lines[2].contains("\"\"nothing\"\""), "{}", lines[2]);
    }

    #[test]
    fn errors_count_what_has_both_numbers() {
        let refusal = ModelError::Output("a \"word\"".into());
        let rows = vec![
            row("a", Ok(1.0), Some(2.0)),
            row("b,c", Ok(5.0), Some(2.0)),
            row("d", Ok(7.0), None),
            row("e", Err(refusal), Some(8.0)),
        ];
        let predictions = Predictions { property: "gap".into(), rows };
        let error = predictions.error().unwrap();
        assert_eq!((error.structures, error.mean_absolute, error.mean_absolute_deviation), (2, 2.0, 0.0));
        assert!((error.root_mean_square - 5f64.sqrt()).abs() < 1e-12);
        let mut text = Vec::new();
        predictions.write_csv(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..4], ["id,prediction,reference,error", "a,1,2,", "\"b,c\",5,2,", "d,7,,"]);
        assert!(lines[4].starts_with("e,,8,\"") && lines[4].contains("\"\"word\"\""), "{}", lines[4]);
        assert_eq!(Predictions { property: "gap".into(), rows: Vec::new() }.error(), None);
    }
}
