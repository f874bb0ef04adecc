//! Arrays that NumPy reads where they lie.

use std::sync::Arc;

use druse_crystal::Structure as Crystal;
use pyo3::exceptions::{PyImportError, PyIndexError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// Whose memory is seen, and what of it.
pub enum Seen {
    /// Lattice vectors as rows (Å).
    Lattice(Arc<Crystal>),
    /// Fractional coordinates.
    Fractional(Arc<Crystal>),
    /// Cartesian coordinates (Å).
    Cartesian(Arc<[[f64; 3]]>),
    /// Atomic numbers.
    Numbers(Arc<[u8]>),
}

/// Numbers of a structure, read where they lie. Without NumPy it is indexed like a list.
#[pyclass(frozen, module = "druse", name = "Array")]
pub struct Array(Seen);

impl Array {
    /// The array of NumPy, where it is installed, and else one of these.
    pub fn of(py: Python<'_>, seen: Seen) -> PyResult<Py<PyAny>> {
        let array = Bound::new(py, Self(seen))?.into_any();
        match py.import("numpy") {
            Ok(numpy) => Ok(numpy.call_method1("asarray", (array,))?.unbind()),
            Err(e) if e.is_instance_of::<PyImportError>(py) => Ok(array.unbind()),
            Err(e) => Err(e),
        }
    }

    fn rows(&self) -> usize {
        match &self.0 {
            Seen::Lattice(_) => 3,
            Seen::Fractional(crystal) => crystal.len(),
            Seen::Cartesian(coords) => coords.len(),
            Seen::Numbers(numbers) => numbers.len(),
        }
    }

    /// Address, type and steps in bytes from row to row and from column to column.
    fn memory(&self) -> (usize, &'static str, [usize; 2]) {
        match &self.0 {
            // A matrix is kept by columns.
            Seen::Lattice(crystal) => (crystal.lattice.matrix().as_ptr() as usize, "<f8", [8, 24]),
            Seen::Fractional(crystal) => (crystal.frac_coords.as_ptr() as usize, "<f8", [24, 8]),
            Seen::Cartesian(coords) => (coords.as_ptr() as usize, "<f8", [24, 8]),
            Seen::Numbers(numbers) => (numbers.as_ptr() as usize, "|u1", [1, 1]),
        }
    }

    fn row<'py>(&self, py: Python<'py>, i: usize) -> PyResult<Bound<'py, PyAny>> {
        let row = match &self.0 {
            Seen::Lattice(crystal) => crystal.lattice.rows()[i],
            Seen::Fractional(crystal) => crystal.frac_coords[i],
            Seen::Cartesian(coords) => coords[i],
            Seen::Numbers(numbers) => return Ok(numbers[i].into_pyobject(py)?.into_any()),
        };
        Ok(PyList::new(py, row)?.into_any())
    }
}

#[pymethods]
impl Array {
    /// Where the numbers lie, for NumPy.
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (address, kind, [row, column]) = self.memory();
        let interface = PyDict::new(py);
        interface.set_item("version", 3)?;
        interface.set_item("typestr", kind)?;
        // Read-only: a structure never changes.
        interface.set_item("data", (address, true))?;
        if let Seen::Numbers(_) = &self.0 {
            interface.set_item("shape", (self.rows(),))?;
            interface.set_item("strides", (row,))?;
        } else {
            interface.set_item("shape", (self.rows(), 3))?;
            interface.set_item("strides", (row, column))?;
        }
        Ok(interface)
    }

    fn __len__(&self) -> usize {
        self.rows()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyAny>> {
        let n = self.rows();
        let i = if index < 0 { index + n as isize } else { index };
        match usize::try_from(i).ok().filter(|&i| i < n) {
            Some(i) => self.row(py, i),
            None => Err(PyIndexError::new_err("index out of range")),
        }
    }

    /// The numbers as lists.
    fn tolist<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, (0..self.rows()).map(|i| self.row(py, i)).collect::<PyResult<Vec<_>>>()?)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("Array({})", self.tolist(py)?.repr()?))
    }
}
