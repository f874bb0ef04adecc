//! Models and potentials that were loaded.

use std::path::PathBuf;
use std::sync::Arc;

use druse_cli::{Failure, library, load_model as load};
use druse_relax::Evaluation;
use druse_run::model::LoadedModel;
use druse_run::potentials::LoadedPotential;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::error::{raised, wrong};
use crate::json;
use crate::structure::Structure;
use crate::work::{Call, carry_out};

/// A trained model.
#[pyclass(frozen, module = "druse", name = "Model")]
pub struct Model {
    /// The model.
    pub inner: Arc<LoadedModel>,
    path: Option<PathBuf>,
    device: String,
}

#[pymethods]
impl Model {
    /// What it is called: `shipped model`, `model runs/mp20/…`.
    #[getter]
    fn name(&self) -> &str {
        &self.inner.name
    }

    /// The kind of model: gemsdiff, cdvae, orbit and others.
    #[getter]
    fn kind(&self) -> String {
        self.inner.config.model.kind.clone()
    }

    /// Hash of its file.
    #[getter]
    fn hash(&self) -> &str {
        &self.inner.hash
    }

    /// The file or folder that it is from; none for the model that is part of the program.
    #[getter]
    fn path(&self) -> Option<PathBuf> {
        self.path.clone()
    }

    /// Where it computes.
    #[getter]
    fn device(&self) -> &str {
        &self.device
    }

    /// The configuration that it was trained with.
    #[getter]
    fn config<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let value = serde_json::to_value(&self.inner.config).map_err(|e| wrong(py, e.to_string(), ""))?;
        json::to_python(py, &value)
    }

    /// Samples structures: `druse.sample` with this model.
    #[pyo3(signature = (*args, **kwargs))]
    fn sample(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, pyo3::types::PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let all = kwargs.map_or_else(|| Ok(PyDict::new(py)), |given| given.copy())?;
        all.set_item("model", slf)?;
        Ok(py.import("druse")?.getattr("sample")?.call(args, Some(&all))?.unbind())
    }

    fn __repr__(&self) -> String {
        format!("<Model {}: {}>", self.inner.config.model.kind, self.inner.name)
    }
}

/// Loads a model: a checkpoint, the folder of a training run, or the one that is part of the program.
#[pyfunction]
#[pyo3(signature = (path=None, device="cpu"))]
pub fn load_model(py: Python<'_>, path: Option<PathBuf>, device: &str) -> PyResult<Model> {
    let (file, name) = (path.clone(), device.to_owned());
    let call = Call { callback: None, threads: None, saves: false };
    let inner = carry_out(py, call, move |_, _| load(file.as_deref(), &name))?;
    Ok(Model { inner: Arc::new(inner), path, device: device.to_owned() })
}

/// A potential: energies, forces and stress of crystals.
#[pyclass(frozen, module = "druse", name = "Potential")]
pub struct Potential {
    /// The potential.
    pub inner: Arc<LoadedPotential>,
}

#[pymethods]
impl Potential {
    /// Its name.
    #[getter]
    fn name(&self) -> &str {
        self.inner.potential.name()
    }

    /// Its name with its version: equal where it gives equal numbers.
    #[getter]
    fn identity(&self) -> &str {
        &self.inner.identity
    }

    /// Distance beyond which sites do not see each other (Å).
    #[getter]
    fn cutoff(&self) -> f64 {
        self.inner.potential.cutoff()
    }

    /// Energy (eV), forces (eV/Å) and stress (eV/Å³, positive in tension) of each structure; where there are none, `error` says
    /// why.
    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        structures: Vec<PyRef<'py, Structure>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let crystals: Vec<druse_crystal::Structure> = structures.iter().map(|s| (*s.inner).clone()).collect();
        drop(structures);
        let potential = self.inner.clone();
        let call = Call { callback: None, threads: None, saves: false };
        let found =
            carry_out(py, call, move |_, _| Ok::<_, Failure>(potential.potential.evaluate(&crystals)))?;
        let row = |found: Result<Evaluation, druse_relax::PotentialError>| -> PyResult<Bound<'py, PyDict>> {
            let row = PyDict::new(py);
            match found {
                Ok(e) => {
                    row.set_item("energy", e.energy)?;
                    row.set_item("forces", e.forces)?;
                    row.set_item("stress", e.stress)?;
                    row.set_item("magnetic_moments", e.magnetic_moments)?;
                    row.set_item("error", py.None())?;
                }
                Err(e) => row.set_item("error", e.to_string())?,
            }
            Ok(row)
        };
        PyList::new(py, found.into_iter().map(row).collect::<PyResult<Vec<_>>>()?)
    }

    fn __repr__(&self) -> String {
        format!("<Potential {}>", self.inner.identity)
    }
}

/// Loads a potential by its name, or from its file.
#[pyfunction]
#[pyo3(signature = (name="sevennet"))]
pub fn load_potential(py: Python<'_>, name: &str) -> PyResult<Potential> {
    let loaded = py.detach(|| library::potential(name)).map_err(|e| raised(py, &e))?;
    Ok(Potential { inner: Arc::new(loaded) })
}

/// Radii (Å) of bonds for pictures, by atomic number; 0 where none is established.
#[pyfunction]
pub fn _radii() -> Vec<f64> {
    let of = |z: i64| druse_crystal::Element::from_z(z).ok().and_then(|e| e.covalent_radius());
    (0..=118).map(|z| of(z).unwrap_or(0.0)).collect()
}
