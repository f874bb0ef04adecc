//! The commands, each a function of options and sets.

use std::path::PathBuf;

use druse_cli::library::{self, Set};
use druse_crystal::Structure as Crystal;
use druse_data::{Dataset, Item, Listing, OutputFormat, write_dataset};
use druse_evaluate::report;
use druse_run::screen::Screened;
use druse_run::train::{Ending, holds_run};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use serde_json::{Value, json};

use crate::error::{raised, wrong};
use crate::json::to_python;
use crate::models::{Model, Potential};
use crate::structure::{Structure, row_of, row_to_python};
use crate::work::{Call, carry_out};

/// A path as a text, or rows.
fn set_of(value: &Bound<'_, PyAny>, name: &str) -> PyResult<Set> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Set::Path(PathBuf::from(text.to_cow()?.into_owned())));
    }
    Ok(Set::Rows(listing_of(value, name)?))
}

fn listing_of(value: &Bound<'_, PyAny>, name: &str) -> PyResult<Listing> {
    let rows = value.try_iter()?.enumerate();
    let items: Vec<Item> = rows.map(|(i, row)| row_of(&row?, i + 1)).collect::<PyResult<_>>()?;
    Ok(Listing { name: name.to_owned(), items, ..Listing::default() })
}

fn rows_to_python<'py>(py: Python<'py>, items: Vec<Item>) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, items.into_iter().map(|item| row_to_python(py, item)).collect::<PyResult<Vec<_>>>()?)
}

fn call(callback: Option<Py<PyAny>>, threads: Option<usize>) -> Call {
    Call { callback, threads, saves: false }
}

/// Every row of a file or folder.
#[pyfunction]
#[pyo3(signature = (path, filters, strict, callback=None, threads=None))]
pub fn _read<'py>(
    py: Python<'py>,
    path: PathBuf,
    filters: Vec<String>,
    strict: bool,
    callback: Option<Py<PyAny>>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyList>> {
    let read = move || library::structures(&path, &filters, strict);
    let listing = carry_out(py, call(callback, threads), move |_, _| read())?;
    rows_to_python(py, listing.items)
}

/// Writes rows to a file or folder, in the format that its name or `format` tells.
#[pyfunction]
#[pyo3(signature = (rows, path, format=None, overwrite=false))]
pub fn _write(
    py: Python<'_>,
    rows: &Bound<'_, PyAny>,
    path: PathBuf,
    format: Option<&str>,
    overwrite: bool,
) -> PyResult<()> {
    let format = match format {
        Some(name) => name.parse::<OutputFormat>().map_err(|e| wrong(py, e.to_string(), ""))?,
        None => OutputFormat::from_path(&path).ok_or_else(|| {
            let text = format!("the name `{}` does not tell a format", path.display());
            wrong(py, text, "add a format: cif, poscar, extxyz, json, jsonl or csv")
        })?,
    };
    let set: Dataset = listing_of(rows, "structures")?.into();
    let written = py.detach(|| write_dataset(&set, &path, format, overwrite));
    written.map(|_| ()).map_err(|e| raised(py, &e.into()))
}

/// `druse sample`: rows, and whether it was stopped before its end.
#[pyfunction]
#[pyo3(signature = (options, model=None, to_folder=false, callback=None, threads=None))]
pub fn _sample<'py>(
    py: Python<'py>,
    options: Vec<String>,
    model: Option<Bound<'py, Model>>,
    to_folder: bool,
    callback: Option<Py<PyAny>>,
    threads: Option<usize>,
) -> PyResult<(Bound<'py, PyList>, bool)> {
    let model = model.map(|m| m.get().inner.clone());
    let (listing, summary) = carry_out(py, call(callback, threads), move |watch, stop| {
        library::sample(&options, model.as_deref(), to_folder, watch, stop)
    })?;
    Ok((rows_to_python(py, listing.items)?, summary.interrupted))
}

/// Whether a folder holds a training run.
#[pyfunction]
pub fn _holds_run(path: PathBuf) -> bool {
    holds_run(&path)
}

/// `druse train`: what was achieved.
#[pyfunction]
#[pyo3(signature = (options, callback=None, threads=None))]
pub fn _train<'py>(
    py: Python<'py>,
    options: Vec<String>,
    callback: Option<Py<PyAny>>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let call = Call { saves: true, ..call(callback, threads) };
    // Other ranks are the command of this package.
    let interpreter: std::ffi::OsString = py.import("sys")?.getattr("executable")?.extract()?;
    let program = [interpreter, "-m".into(), "druse".into(), druse_cli::CHILD_COMMAND.into()];
    let outcome = carry_out(py, call, move |watch, stop| library::train(&options, &program, watch, stop))?;
    let ending = match outcome.ending {
        Ending::Finished => "finished",
        Ending::EarlyStop => "early_stop",
        Ending::TimeLimit => "time_limit",
        Ending::Interrupted => "interrupted",
    };
    let value = json!({
        "ending": ending,
        "step": outcome.step,
        "epoch": outcome.epoch,
        "best": outcome.best,
    });
    to_python(py, &value)
}

/// An evaluation as the program makes it.
#[pyclass(frozen, module = "druse", name = "_Evaluation")]
pub struct Evaluation {
    inner: druse_evaluate::Evaluation,
}

#[pymethods]
impl Evaluation {
    /// The table of metrics.
    fn table(&self) -> String {
        report::table::evaluation(&self.inner)
    }

    /// The page.
    fn page(&self) -> String {
        report::html::page(&self.inner)
    }

    /// The text that `--json` writes.
    fn json(&self, py: Python<'_>) -> PyResult<String> {
        serde_json::to_string_pretty(&self.inner).map_err(|e| wrong(py, e.to_string(), ""))
    }

    /// The same as plain objects.
    fn object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let value = serde_json::to_value(&self.inner).map_err(|e| wrong(py, e.to_string(), ""))?;
        to_python(py, &value)
    }
}

/// An evaluation in the text that `--json` wrote; none for another text.
#[pyfunction]
pub fn _evaluation(py: Python<'_>, text: &str, path: PathBuf) -> PyResult<Option<Evaluation>> {
    let found =
        druse_evaluate::Evaluation::from_json(text.as_bytes(), &path).map_err(|e| raised(py, &e.into()))?;
    Ok(found.map(|inner| Evaluation { inner }))
}

/// `druse evaluate`.
#[pyfunction]
#[pyo3(signature = (options, generated, reference, train=None, callback=None, threads=None))]
pub fn _evaluate(
    py: Python<'_>,
    options: Vec<String>,
    generated: &Bound<'_, PyAny>,
    reference: &Bound<'_, PyAny>,
    train: Option<&Bound<'_, PyAny>>,
    callback: Option<Py<PyAny>>,
    threads: Option<usize>,
) -> PyResult<Evaluation> {
    let (generated, reference) = (set_of(generated, "generated")?, set_of(reference, "reference")?);
    let train = train.map(|set| set_of(set, "train")).transpose()?;
    let inner = carry_out(py, call(callback, threads), move |watch, stop| {
        library::evaluate(&options, generated, reference, train, watch, stop)
    })?;
    Ok(Evaluation { inner })
}

/// `druse match`.
#[pyfunction]
pub fn _match<'py>(
    py: Python<'py>,
    options: Vec<String>,
    a: &Structure,
    b: &Structure,
) -> PyResult<Bound<'py, PyAny>> {
    let (a, b) = (a.inner.clone(), b.inner.clone());
    let verdict = py.detach(|| library::match_structures(&options, &a, &b)).map_err(|e| raised(py, &e))?;
    let value = json!({
        "fit": verdict.fit,
        "rms": verdict.rms,
        "max": verdict.max,
        "unfinished": verdict.unfinished,
    });
    to_python(py, &value)
}

/// `druse featurize`: a dictionary a row.
#[pyfunction]
#[pyo3(signature = (options, set, callback=None, threads=None))]
pub fn _featurize<'py>(
    py: Python<'py>,
    options: Vec<String>,
    set: &Bound<'_, PyAny>,
    callback: Option<Py<PyAny>>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let set = set_of(set, "structures")?;
    let rows = carry_out(py, call(callback, threads), move |watch, stop| {
        library::featurize(&options, set, watch, stop)
    })?;
    to_python(py, &Value::Array(rows))
}

/// `druse reconstruct`: rows, whether it was stopped before its end, and how they compare.
#[pyfunction]
#[pyo3(signature = (options, model, data, to_folder=false, callback=None, threads=None))]
pub fn _reconstruct<'py>(
    py: Python<'py>,
    options: Vec<String>,
    model: &Bound<'py, Model>,
    data: PathBuf,
    to_folder: bool,
    callback: Option<Py<PyAny>>,
    threads: Option<usize>,
) -> PyResult<(Bound<'py, PyList>, bool, Option<Evaluation>)> {
    let model = model.get().inner.clone();
    let (listing, summary, evaluation) = carry_out(py, call(callback, threads), move |watch, stop| {
        library::reconstruct(&options, &model, &data, to_folder, watch, stop)
    })?;
    let rows = rows_to_python(py, listing.items)?;
    Ok((rows, summary.interrupted, evaluation.map(|inner| Evaluation { inner })))
}

/// `druse relax`: rows, and whether it was stopped before its end.
#[pyfunction]
#[pyo3(signature = (options, set, potential=None, out=None, callback=None, threads=None))]
pub fn _relax<'py>(
    py: Python<'py>,
    options: Vec<String>,
    set: &Bound<'_, PyAny>,
    potential: Option<Bound<'py, Potential>>,
    out: Option<PathBuf>,
    callback: Option<Py<PyAny>>,
    threads: Option<usize>,
) -> PyResult<(Bound<'py, PyList>, bool)> {
    let set = set_of(set, "structures")?;
    let potential = potential.map(|p| p.get().inner.clone());
    let (listing, summary) = carry_out(py, call(callback, threads), move |watch, stop| {
        library::relax(&options, set, potential.as_deref(), out.as_deref(), watch, stop)
    })?;
    Ok((rows_to_python(py, listing.items)?, summary.interrupted))
}

/// `druse hull`: what `--json` writes, and every entry.
#[pyfunction]
#[pyo3(signature = (options, entries, query=None, threads=None))]
pub fn _hull<'py>(
    py: Python<'py>,
    options: Vec<String>,
    entries: Vec<Bound<'py, PyAny>>,
    query: Option<&Bound<'_, PyAny>>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let entries: Vec<Set> = entries.iter().map(|set| set_of(set, "entries")).collect::<PyResult<_>>()?;
    let query = query.map(|set| set_of(set, "query")).transpose()?;
    let (value, rows) =
        carry_out(py, call(None, threads), move |_, _| library::hull(&options, entries, query))?;
    let found = to_python(py, &value)?;
    let rows = serde_json::to_value(rows).map_err(|e| wrong(py, e.to_string(), ""))?;
    found.cast::<PyDict>()?.set_item("entries", to_python(py, &rows)?)?;
    Ok(found)
}

/// `druse screen`: a dictionary with rows, funnel and references, and the relaxed structure of each row; none when it was stopped.
#[pyfunction]
#[pyo3(signature = (options, candidates, reference, train=None, callback=None, threads=None))]
pub fn _screen<'py>(
    py: Python<'py>,
    options: Vec<String>,
    candidates: &Bound<'_, PyAny>,
    reference: &Bound<'_, PyAny>,
    train: Option<&Bound<'_, PyAny>>,
    callback: Option<Py<PyAny>>,
    threads: Option<usize>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let (candidates, reference) = (set_of(candidates, "candidates")?, set_of(reference, "reference")?);
    let train = train.map(|set| set_of(set, "train")).transpose()?;
    let found = carry_out(py, call(callback, threads), move |watch, stop| {
        library::screen(&options, candidates, reference, train, watch, stop)
    })?;
    let mut found = match found {
        Screened::Whole(found) => found,
        Screened::Share => return Ok(Some(PyDict::new(py).into_any())),
        Screened::Interrupted => return Ok(None),
    };
    let taken = found.rows.iter_mut().map(|row| (row.id.clone(), row.structure.take()));
    let structures: Vec<(String, Option<Crystal>)> = taken.collect();
    let value = json!({
        "rows": found.rows,
        "funnel": found.funnel,
        "references": found.references,
    });
    let value = to_python(py, &value)?;
    let list = PyList::empty(py);
    for (id, structure) in structures {
        match structure {
            Some(structure) => list.append(Structure::new(structure, Some(id)))?,
            None => list.append(py.None())?,
        }
    }
    value.cast::<PyDict>()?.set_item("structures", list)?;
    Ok(Some(value))
}

/// `druse predict`: a dictionary.
#[pyfunction]
#[pyo3(signature = (options, model, data, threads=None))]
pub fn _predict<'py>(
    py: Python<'py>,
    options: Vec<String>,
    model: &Bound<'py, Model>,
    data: &Bound<'_, PyAny>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let (model, data) = (model.get().inner.clone(), set_of(data, "structures")?);
    let found = carry_out(py, call(None, threads), move |_, _| library::predict(&options, &model, data))?;
    let rows: Vec<Value> = found
        .rows
        .iter()
        .map(|row| {
            json!({
                "id": row.id,
                "prediction": row.value.as_ref().ok(),
                "reference": row.reference,
                "error": row.value.as_ref().err().map(ToString::to_string),
            })
        })
        .collect();
    let error = found.error().map(|e| {
        json!({
            "mean_absolute": e.mean_absolute,
            "root_mean_square": e.root_mean_square,
            "structures": e.structures,
            "mean_absolute_deviation": e.mean_absolute_deviation,
        })
    });
    to_python(py, &json!({ "property": found.property, "rows": rows, "error": error }))
}
