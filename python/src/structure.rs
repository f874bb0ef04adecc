//! A crystal as Python sees it.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use druse_crystal::formats::{self, Format};
use druse_crystal::{Composition, Element, Lattice, SymmetryError, files, symmetry};
use druse_data::{Absent, Item};
use druse_run::output::{RunIdentity, file_text, stem};
use druse_run::relax::RelaxManifest;
use druse_run::sample::Manifest;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use crate::error::{raised, wrong};
use crate::json;
use crate::view::{Array, Seen};

/// A crystal: a lattice and the sites of one cell, each of one element. It never changes.
#[pyclass(frozen, module = "druse", name = "Structure")]
pub struct Structure {
    /// The crystal.
    pub inner: Arc<druse_crystal::Structure>,
    /// Identifier within the set that it is from.
    pub id: Option<String>,
    numbers: OnceLock<Arc<[u8]>>,
    cartesian: OnceLock<Arc<[[f64; 3]]>>,
}

impl Structure {
    /// A crystal of a set, or of none.
    pub fn new(inner: druse_crystal::Structure, id: Option<String>) -> Self {
        Self { inner: Arc::new(inner), id, numbers: OnceLock::new(), cartesian: OnceLock::new() }
    }

    fn composition(&self) -> Composition {
        Composition::from_species(&self.inner.species)
    }

    /// Another crystal made of this one.
    fn derived<E: std::fmt::Display>(
        &self,
        py: Python<'_>,
        made: Result<druse_crystal::Structure, E>,
    ) -> PyResult<Self> {
        let mut made = made.map_err(|e| wrong(py, e.to_string(), ""))?;
        made.properties.clone_from(&self.inner.properties);
        Ok(Self::new(made, self.id.clone()))
    }

    fn symmetry(&self, py: Python<'_>, symprec: f64) -> PyResult<symmetry::SymmetryDataset> {
        if !(symprec.is_finite() && symprec > 0.0) {
            return Err(wrong(py, format!("symprec {symprec}: expected a positive distance in Å"), ""));
        }
        let told = |e: SymmetryError| wrong(py, e.to_string(), "another symprec may find the group");
        py.detach(|| symmetry::analyze(&self.inner, symprec)).map_err(told)
    }

    /// What its own file is called, without the ending: that of the program, where it was sampled.
    fn stem(&self) -> String {
        let formula = self.composition().reduced_formula();
        match self.inner.properties.get("index").and_then(serde_json::Value::as_u64) {
            Some(index) => stem(index, &formula),
            None => self.id.clone().unwrap_or(formula),
        }
    }

    /// Of one text with one structure.
    fn parse(py: Python<'_>, text: &str, format: Format) -> PyResult<Self> {
        let mut found = formats::read_str(text, format).map_err(|e| wrong(py, e.to_string(), ""))?;
        match (found.pop(), found.len()) {
            (Some(only), 0) => Ok(Self::new(only.structure, None)),
            (_, n) => {
                let n = if n == 0 { 0 } else { n + 1 };
                Err(wrong(
                    py,
                    format!("the text holds {n} structures, expected one"),
                    "druse.read reads a file of many",
                ))
            }
        }
    }
}

fn format_of(py: Python<'_>, name: &str) -> PyResult<Format> {
    name.parse().map_err(|e: formats::UnknownFormat| wrong(py, e.to_string(), ""))
}

fn element(site: &Bound<'_, PyAny>) -> PyResult<Element> {
    let py = site.py();
    let found = match site.cast::<PyString>() {
        Ok(text) => Element::from_symbol(&text.to_cow()?),
        Err(_) => match site.extract::<i64>() {
            Ok(number) => Element::from_z(number),
            Err(_) => {
                let kind = site.get_type().fully_qualified_name()?;
                return Err(wrong(
                    py,
                    format!("a species cannot be of the type {kind}"),
                    "give the symbol of an element, such as \"Fe\", or its atomic number",
                ));
            }
        },
    };
    found.map_err(|e| wrong(py, e.to_string(), ""))
}

#[pymethods]
impl Structure {
    /// A crystal from lattice vectors as rows (Å), a species a site and fractional coordinates, which are wrapped into [0, 1).
    #[new]
    #[pyo3(signature = (lattice, species, frac_coords, *, properties=None, id=None))]
    fn build(
        py: Python<'_>,
        lattice: &Bound<'_, PyAny>,
        species: &Bound<'_, PyAny>,
        frac_coords: &Bound<'_, PyAny>,
        properties: Option<&Bound<'_, PyAny>>,
        id: Option<String>,
    ) -> PyResult<Self> {
        let rows: [[f64; 3]; 3] = lattice
            .extract()
            .map_err(|_| wrong(py, "lattice: expected three rows of three numbers (Å)", ""))?;
        let coords: Vec<[f64; 3]> = frac_coords
            .extract()
            .map_err(|_| wrong(py, "frac_coords: expected three numbers for each site", ""))?;
        if species.is_instance_of::<PyString>() {
            let text = "species: expected a list with an element for each site, not one text";
            return Err(wrong(py, text, "for example [\"Na\", \"Cl\"]"));
        }
        let sites = species.try_iter().map_err(|_| wrong(py, "species: expected a list of elements", ""))?;
        let species: Vec<Element> = sites.map(|site| element(&site?)).collect::<PyResult<_>>()?;
        let lattice = Lattice::from_rows(rows).map_err(|e| wrong(py, e.to_string(), ""))?;
        let mut inner = druse_crystal::Structure::new(lattice, species, coords)
            .map_err(|e| wrong(py, e.to_string(), ""))?;
        if let Some(properties) = properties.filter(|p| !p.is_none()) {
            match json::from_python(properties)? {
                serde_json::Value::Object(map) => {
                    inner.properties = map.into_iter().filter(|(_, value)| !value.is_null()).collect();
                }
                _ => return Err(wrong(py, "properties: expected a dictionary", "")),
            }
        }
        Ok(Self::new(inner, id))
    }

    /// The structure of a CIF text.
    #[classmethod]
    fn from_cif(_: &Bound<'_, PyType>, py: Python<'_>, text: &str) -> PyResult<Self> {
        Self::parse(py, text, Format::Cif)
    }

    /// The structure of a POSCAR text.
    #[classmethod]
    fn from_poscar(_: &Bound<'_, PyType>, py: Python<'_>, text: &str) -> PyResult<Self> {
        Self::parse(py, text, Format::Poscar)
    }

    /// The structure of a text in one of the formats: cif, poscar, extxyz, json.
    #[classmethod]
    fn from_str(_: &Bound<'_, PyType>, py: Python<'_>, text: &str, format: &str) -> PyResult<Self> {
        let format = format_of(py, format)?;
        Self::parse(py, text, format)
    }

    /// The structure of a file that holds one.
    #[classmethod]
    fn from_file(_: &Bound<'_, PyType>, py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let mut found = formats::read_path(&path).map_err(|e| raised(py, &e.into()))?;
        match (found.pop(), found.len()) {
            (Some(only), 0) => Ok(Self::new(only.structure, None)),
            (_, n) => {
                let text = format!("`{}` holds {} structures, expected one", path.display(), n + 1);
                Err(wrong(py, text, "druse.read reads a file of many"))
            }
        }
    }

    /// The structure as a CIF text. One that was made with a space group is written with it, unless symmetric is false; with
    /// true, the group that it has is.
    #[pyo3(signature = (*, name=None, symmetric=None))]
    fn to_cif(&self, name: Option<&str>, symmetric: Option<bool>) -> String {
        let made = name.map_or_else(|| self.stem(), str::to_owned);
        let properties = &self.inner.properties;
        let marks = [Manifest::SYMMETRIC, RelaxManifest::SYMMETRIC];
        let mark = marks.into_iter().find(|mark| properties.contains_key(*mark));
        match (symmetric, mark) {
            (Some(true), None) => {
                let mut marked = properties.clone();
                marked.insert(Manifest::SYMMETRIC.into(), true.into());
                file_text(&self.inner, &marked, Manifest::SYMMETRIC, Format::Cif, &made)
            }
            (None | Some(true), Some(mark)) => file_text(&self.inner, properties, mark, Format::Cif, &made),
            _ => formats::write(&self.inner, Format::Cif, &made),
        }
    }

    /// The structure as a POSCAR text.
    #[pyo3(signature = (*, name=None))]
    fn to_poscar(&self, name: Option<&str>) -> String {
        formats::write(&self.inner, Format::Poscar, &name.map_or_else(|| self.stem(), str::to_owned))
    }

    /// The structure as a text in one of the formats: cif, poscar, extxyz, json.
    #[pyo3(signature = (format, *, name=None))]
    fn to_str(&self, py: Python<'_>, format: &str, name: Option<&str>) -> PyResult<String> {
        Ok(match format_of(py, format)? {
            Format::Cif => self.to_cif(name, None),
            format => formats::write(&self.inner, format, &name.map_or_else(|| self.stem(), str::to_owned)),
        })
    }

    /// Writes the structure to a file, in the format that its name tells.
    #[pyo3(signature = (path, *, format=None))]
    fn write(&self, py: Python<'_>, path: PathBuf, format: Option<&str>) -> PyResult<()> {
        let format = match format {
            Some(name) => format_of(py, name)?,
            None => Format::from_path(&path).ok_or_else(|| {
                let text = format!("the name `{}` does not tell a format", path.display());
                wrong(py, text, "add format=\"cif\" or another one")
            })?,
        };
        let text = self.to_str(py, format.name(), None)?;
        files::write_atomic(&path, text.as_bytes()).map_err(|e| raised(py, &e.into()))
    }

    /// Lattice vectors as rows (Å).
    #[getter]
    fn lattice(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Array::of(py, Seen::Lattice(self.inner.clone()))
    }

    /// Fractional coordinates of the sites.
    #[getter]
    fn frac_coords(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Array::of(py, Seen::Fractional(self.inner.clone()))
    }

    /// Cartesian coordinates of the sites (Å).
    #[getter]
    fn cart_coords(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let coords = self.cartesian.get_or_init(|| self.inner.cart_coords().into());
        Array::of(py, Seen::Cartesian(coords.clone()))
    }

    /// Atomic numbers of the sites.
    #[getter(numbers)]
    fn numbers_view(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let numbers = self.numbers.get_or_init(|| self.inner.atomic_numbers().into());
        Array::of(py, Seen::Numbers(numbers.clone()))
    }

    /// Symbols of the sites' elements.
    #[getter]
    fn species(&self) -> Vec<&'static str> {
        self.inner.species.iter().map(|e| e.symbol()).collect()
    }

    /// Identifier within the set that it is from.
    #[getter]
    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Named values that belong to the structure as a whole.
    #[getter]
    fn properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        json::object(py, self.inner.properties.iter())
    }

    /// The atoms of the cell: `Na4 Cl4`.
    #[getter]
    fn formula(&self) -> String {
        self.composition().formula()
    }

    /// The reduced formula: `NaCl`.
    #[getter]
    fn reduced_formula(&self) -> String {
        self.composition().reduced_formula()
    }

    /// Lengths of the lattice vectors (Å).
    #[getter]
    fn lengths(&self) -> (f64, f64, f64) {
        self.inner.lattice.lengths().into()
    }

    /// Angles of the lattice (degrees).
    #[getter]
    fn angles(&self) -> (f64, f64, f64) {
        self.inner.lattice.angles().into()
    }

    /// Volume of the cell (Å³).
    #[getter]
    fn volume(&self) -> f64 {
        self.inner.lattice.volume()
    }

    /// Mass density (g/cm³).
    #[getter]
    fn density(&self) -> f64 {
        self.inner.density()
    }

    /// Shortest distance between two sites (Å); none with a single site.
    #[getter]
    fn min_distance(&self) -> Option<f64> {
        self.inner.min_distance()
    }

    /// Number and Hermann–Mauguin symbol of the space group, found with a tolerance of distances (Å).
    #[pyo3(signature = (symprec=0.01))]
    fn space_group(&self, py: Python<'_>, symprec: f64) -> PyResult<(u16, String)> {
        let found = self.symmetry(py, symprec)?;
        Ok((found.number, found.international))
    }

    /// The primitive cell.
    #[pyo3(signature = (tolerance=0.01))]
    fn primitive(&self, py: Python<'_>, tolerance: f64) -> PyResult<Self> {
        self.derived(py, self.inner.primitive(tolerance))
    }

    /// The Niggli-reduced cell.
    fn niggli(&self, py: Python<'_>) -> PyResult<Self> {
        self.derived(py, self.inner.niggli_reduced())
    }

    /// The conventional standard cell of the space group, found with a tolerance of distances (Å).
    #[pyo3(signature = (symprec=0.01))]
    fn conventional(&self, py: Python<'_>, symprec: f64) -> PyResult<Self> {
        let found = self.symmetry(py, symprec)?;
        self.derived(py, Ok::<_, String>(found.conventional.structure))
    }

    /// The structure with other properties and, where it is given, another identifier.
    #[pyo3(signature = (properties, *, id=None))]
    fn with_properties(
        &self,
        py: Python<'_>,
        properties: &Bound<'_, PyAny>,
        id: Option<String>,
    ) -> PyResult<Self> {
        let serde_json::Value::Object(map) = json::from_python(properties)? else {
            return Err(wrong(py, "properties: expected a dictionary", ""));
        };
        let mut inner = (*self.inner).clone();
        inner.properties = map.into_iter().filter(|(_, value)| !value.is_null()).collect();
        Ok(Self::new(inner, id.or_else(|| self.id.clone())))
    }

    /// The structure as plain lists, as a line of a JSON Lines file has it.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let value = serde_json::to_value(&*self.inner).map_err(|e| wrong(py, e.to_string(), ""))?;
        json::to_python(py, &value)
    }

    /// The structure of plain lists, as `as_dict` gives them or pymatgen does.
    #[classmethod]
    fn from_dict(_: &Bound<'_, PyType>, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = value.py();
        let value = json::from_python(value)?;
        let properties = value.get("properties").and_then(|p| p.as_object()).cloned();
        let mut found = druse_data::structure_from_json(&value).map_err(|e| wrong(py, e, ""))?;
        found.properties.extend(properties.into_iter().flatten());
        Ok(Self::new(found, None))
    }

    /// The structure of pymatgen, which has to be installed.
    fn to_pymatgen(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Ok(slf.py().import("druse._convert")?.call_method1("to_pymatgen", (slf,))?.unbind())
    }

    /// The atoms of ASE, which has to be installed.
    fn to_ase(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Ok(slf.py().import("druse._convert")?.call_method1("to_ase", (slf,))?.unbind())
    }

    fn _repr_html_(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Ok(slf.py().import("druse._html")?.call_method1("structure", (slf,))?.unbind())
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        let Ok(other) = other.cast::<Self>() else { return false };
        let (a, b) = (&self.inner, &other.get().inner);
        a.lattice == b.lattice && a.species == b.species && a.frac_coords == b.frac_coords
    }

    fn __repr__(&self) -> String {
        let [a, b, c] = self.inner.lattice.lengths();
        let [al, be, ga] = self.inner.lattice.angles();
        let id = self.id.as_ref().map_or(String::new(), |id| format!(", id={id:?}"));
        format!(
            "<Structure {}: {a:.3} × {b:.3} × {c:.3} Å, {al:.1}° {be:.1}° {ga:.1}°{id}>",
            self.composition().formula()
        )
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let s = slf.get();
        let text = serde_json::to_string(&*s.inner).map_err(|e| wrong(py, e.to_string(), ""))?;
        let restore = py.import("druse._druse")?.getattr("_restore")?;
        (restore, (text, s.id.clone())).into_pyobject(py)
    }
}

/// A structure that was pickled.
#[pyfunction]
pub fn _restore(py: Python<'_>, text: &str, id: Option<String>) -> PyResult<Structure> {
    let inner = serde_json::from_str(text).map_err(|e| wrong(py, e.to_string(), ""))?;
    Ok(Structure::new(inner, id))
}

/// A row of a set that gives no structure.
#[pyclass(frozen, module = "druse", name = "Failure")]
pub struct Failure {
    id: String,
    absent: Absent,
}

#[pymethods]
impl Failure {
    /// Identifier within its set.
    #[getter]
    fn id(&self) -> &str {
        &self.id
    }

    /// Why there is no structure.
    #[getter]
    fn reason(&self) -> &str {
        &self.absent.reason
    }

    /// Reduced formula, where it is known.
    #[getter]
    fn reduced_formula(&self) -> Option<String> {
        self.absent.composition.as_ref().map(Composition::reduced_formula)
    }

    /// Named values of the row.
    #[getter]
    fn properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        json::object(py, self.absent.properties.iter())
    }

    fn __repr__(&self) -> String {
        format!("<Failure {}: {}>", self.id, self.absent.reason)
    }
}

/// A row of a set as a structure or a failure.
pub fn row_to_python<'py>(py: Python<'py>, item: Item) -> PyResult<Bound<'py, PyAny>> {
    Ok(match item.outcome {
        Ok(structure) => Bound::new(py, Structure::new(structure, Some(item.id)))?.into_any(),
        Err(absent) => Bound::new(py, Failure { id: item.id, absent })?.into_any(),
    })
}

/// A structure or a failure as row `k`, from 1, of a set.
pub fn row_of(value: &Bound<'_, PyAny>, k: usize) -> PyResult<Item> {
    let (id, outcome) = if let Ok(structure) = value.cast::<Structure>() {
        let s = structure.get();
        (s.id.clone(), Ok((*s.inner).clone()))
    } else if let Ok(failure) = value.cast::<Failure>() {
        let f = failure.get();
        (Some(f.id.clone()), Err(f.absent.clone()))
    } else {
        let kind = value.get_type().fully_qualified_name()?;
        return Err(wrong(
            value.py(),
            format!("{kind} is no structure"),
            "give structures of druse, pymatgen or ASE",
        ));
    };
    let item = Item {
        counted: id.is_none(),
        id: id.unwrap_or_else(|| format!("row-{k}")),
        file: PathBuf::new(),
        row: Some(k),
        line: None,
        outcome,
        warnings: Vec::new(),
    };
    Ok(item)
}
