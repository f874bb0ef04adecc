//! Arrays that NumPy reads where they lie.

use pyo3::exceptions::{PyImportError, PyIndexError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::structure::Structure;

/// What of a structure is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Lattice vectors as rows (Å).
    Lattice,
    /// Fractional coordinates.
    Fractional,
    /// Cartesian coordinates (Å).
    Cartesian,
    /// Atomic numbers.
    Numbers,
}

/// Numbers of a structure, read where they lie. Without NumPy it is indexed like a list.
#[pyclass(frozen, module = "druse", name = "Array")]
pub struct Array {
    owner: Py<Structure>,
    field: Field,
}

impl Array {
    /// The array of NumPy, where it is installed, and else one of these.
    pub fn of(owner: &Bound<'_, Structure>, field: Field) -> PyResult<Py<PyAny>> {
        let py = owner.py();
        let array = Bound::new(py, Self { owner: owner.clone().unbind(), field })?.into_any();
        match py.import("numpy") {
            Ok(numpy) => Ok(numpy.call_method1("asarray", (array,))?.unbind()),
            Err(e) if e.is_instance_of::<PyImportError>(py) => Ok(array.unbind()),
            Err(e) => Err(e),
        }
    }

    fn rows(&self) -> usize {
        match self.field {
            Field::Lattice => 3,
            _ => self.owner.get().inner.len(),
        }
    }

    /// Address, type and steps in bytes from row to row and from column to column.
    fn memory(&self) -> (usize, &'static str, [usize; 2]) {
        let s = self.owner.get();
        match self.field {
            // A matrix is kept by columns.
            Field::Lattice => (s.inner.lattice.matrix().as_ptr() as usize, "<f8", [8, 24]),
            Field::Fractional => (s.inner.frac_coords.as_ptr() as usize, "<f8", [24, 8]),
            Field::Cartesian => (s.cartesian().as_ptr() as usize, "<f8", [24, 8]),
            Field::Numbers => (s.numbers().as_ptr() as usize, "|u1", [1, 1]),
        }
    }

    fn row<'py>(&self, py: Python<'py>, i: usize) -> PyResult<Bound<'py, PyAny>> {
        let s = self.owner.get();
        let row = match self.field {
            Field::Lattice => s.inner.lattice.rows()[i],
            Field::Fractional => s.inner.frac_coords[i],
            Field::Cartesian => s.cartesian()[i],
            Field::Numbers => return Ok(s.numbers()[i].into_pyobject(py)?.into_any()),
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
        match self.field {
            Field::Numbers => {
                interface.set_item("shape", (self.rows(),))?;
                interface.set_item("strides", (row,))?;
            }
            _ => {
                interface.set_item("shape", (self.rows(), 3))?;
                interface.set_item("strides", (row, column))?;
            }
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
