"""The extension module of the Python package `druse`."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Array",
    "Event",
    "Failure",
    "Model",
    "Potential",
    "Structure",
    "__version__",
    "_Evaluation",
    "_command",
    "_evaluate",
    "_evaluation",
    "_featurize",
    "_holds_run",
    "_hull",
    "_match",
    "_predict",
    "_radii",
    "_read",
    "_reconstruct",
    "_relax",
    "_restore",
    "_sample",
    "_screen",
    "_train",
    "_write",
    "load_model",
    "load_potential",
]

__version__: str

_Path = str | PathLike[str]
_Rows = Sequence[Structure | Failure]
_Set = str | _Rows
_Watch = Callable[[Event], object] | None

@final
class Structure:
    """A crystal: a lattice and the sites of one cell, each of one element. It never changes.

    `lattice`, `frac_coords`, `cart_coords` and `numbers` are read-only arrays of NumPy on the crystal's own memory. Without
    NumPy they are an `Array`, which is indexed like a list.
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __new__(
        cls,
        lattice: Sequence[Sequence[float]] | NDArray[np.floating[Any]],
        species: Sequence[str | int],
        frac_coords: Sequence[Sequence[float]] | NDArray[np.floating[Any]],
        *,
        properties: Mapping[str, Any] | None = None,
        id: str | None = None,
    ) -> Structure:
        """Lattice vectors as rows (Å), a species (symbol or atomic number) and fractional coordinates for each site."""

    @classmethod
    def from_cif(cls, text: str) -> Structure:
        """The structure of a CIF text."""

    @classmethod
    def from_poscar(cls, text: str) -> Structure:
        """The structure of a POSCAR text."""

    @classmethod
    def from_str(cls, text: str, format: str) -> Structure:
        """The structure of a text in one of the formats: cif, poscar, extxyz, json."""

    @classmethod
    def from_file(cls, path: _Path) -> Structure:
        """The structure of a file that holds one."""

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Structure:
        """The structure of plain lists, as `as_dict` gives them or pymatgen does."""

    def to_cif(self, *, name: str | None = None, symmetric: bool | None = None) -> str:
        """The structure as a CIF text. One that was made with a space group is written with it, unless `symmetric` is false;
        with true, the group that it has is."""

    def to_poscar(self, *, name: str | None = None) -> str:
        """The structure as a POSCAR text."""

    def to_str(self, format: str, *, name: str | None = None) -> str:
        """The structure as a text in one of the formats: cif, poscar, extxyz, json."""

    def write(self, path: _Path, *, format: str | None = None) -> None:
        """Writes the structure to a file, in the format that its name tells."""

    @property
    def lattice(self) -> NDArray[np.float64]:
        """Lattice vectors as rows (Å)."""

    @property
    def frac_coords(self) -> NDArray[np.float64]:
        """Fractional coordinates of the sites, in [0, 1)."""

    @property
    def cart_coords(self) -> NDArray[np.float64]:
        """Cartesian coordinates of the sites (Å)."""

    @property
    def numbers(self) -> NDArray[np.uint8]:
        """Atomic numbers of the sites."""

    @property
    def species(self) -> list[str]:
        """Symbols of the sites' elements."""

    @property
    def id(self) -> str | None:
        """Identifier within the set that it is from."""

    @property
    def properties(self) -> dict[str, Any]:
        """Named values that belong to the structure as a whole."""

    @property
    def formula(self) -> str:
        """The atoms of the cell: `Na4 Cl4`."""

    @property
    def reduced_formula(self) -> str:
        """The reduced formula: `NaCl`."""

    @property
    def lengths(self) -> tuple[float, float, float]:
        """Lengths of the lattice vectors (Å)."""

    @property
    def angles(self) -> tuple[float, float, float]:
        """Angles of the lattice (degrees)."""

    @property
    def volume(self) -> float:
        """Volume of the cell (Å³)."""

    @property
    def density(self) -> float:
        """Mass density (g/cm³)."""

    @property
    def min_distance(self) -> float | None:
        """Shortest distance between two sites (Å); none with a single site."""

    def space_group(self, symprec: float = 0.01) -> tuple[int, str]:
        """Number and Hermann–Mauguin symbol of the space group, found with a tolerance of distances (Å)."""

    def primitive(self, tolerance: float = 0.01) -> Structure:
        """The primitive cell."""

    def niggli(self) -> Structure:
        """The Niggli-reduced cell."""

    def conventional(self, symprec: float = 0.01) -> Structure:
        """The conventional standard cell of the space group, found with a tolerance of distances (Å)."""

    def with_properties(self, properties: Mapping[str, Any], *, id: str | None = None) -> Structure:
        """The structure with other properties and, where it is given, another identifier."""

    def as_dict(self) -> dict[str, Any]:
        """The structure as plain lists, as a line of a JSON Lines file has it."""

    def to_pymatgen(self) -> Any:
        """The structure of pymatgen, which has to be installed."""

    def to_ase(self) -> Any:
        """The atoms of ASE, which has to be installed."""

    def _repr_html_(self) -> str: ...
    def __len__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Failure:
    """A row of a set that gives no structure."""

    @property
    def id(self) -> str:
        """Identifier within its set."""

    @property
    def reason(self) -> str:
        """Why there is no structure."""

    @property
    def reduced_formula(self) -> str | None:
        """Reduced formula, where it is known."""

    @property
    def properties(self) -> dict[str, Any]:
        """Named values of the row."""

@final
class Array:
    """Numbers of a structure, read where they lie. NumPy takes it without a copy; without NumPy it is indexed like a list."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...
    def tolist(self) -> list[Any]:
        """The numbers as lists."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...

@final
class Event:
    """Something that happened in a call: callbacks are given these."""

    @property
    def kind(self) -> str:
        """What happened: progress, step, epoch, sampled, relaxed, saved, warning and others."""

    @property
    def text(self) -> str:
        """The stage of the work, or what there is to say."""

    @property
    def done(self) -> float:
        """How much of the stage is done."""

    @property
    def total(self) -> float:
        """How much there is in all; 0 when it cannot be told."""

    @property
    def values(self) -> dict[str, Any]:
        """What belongs to it: of a step or an epoch its losses, learning rate and speed."""

@final
class Model:
    """A trained model."""

    @property
    def name(self) -> str:
        """What it is called: `shipped model`, `model runs/mp20/…`."""

    @property
    def kind(self) -> str:
        """The kind of model: gemsdiff, cdvae, orbit and others."""

    @property
    def hash(self) -> str:
        """Hash of its file."""

    @property
    def path(self) -> PathLike[str] | None:
        """The file or folder that it is from; none for the model that is part of the program."""

    @property
    def device(self) -> str:
        """Where it computes."""

    @property
    def config(self) -> dict[str, Any]:
        """The configuration that it was trained with."""

    def sample(self, *args: Any, **kwargs: Any) -> Any:
        """Samples structures: `druse.sample` with this model."""

@final
class Potential:
    """A potential: energies, forces and stress of crystals."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def identity(self) -> str:
        """Its name with its version: equal where it gives equal numbers."""

    @property
    def cutoff(self) -> float:
        """Distance beyond which sites do not see each other (Å)."""

    def evaluate(self, structures: Sequence[Structure]) -> list[dict[str, Any]]:
        """Energy (eV), forces (eV/Å) and stress (eV/Å³, positive in tension) of each structure; where there are none, `error`
        says why."""

@final
class _Evaluation:
    def table(self) -> str: ...
    def page(self) -> str: ...
    def json(self) -> str: ...
    def object(self) -> dict[str, Any]: ...

def load_model(path: _Path | None = None, device: str = "cpu") -> Model:
    """Loads a model: a checkpoint, the folder of a training run, or the one that is part of the program."""

def load_potential(name: str = "sevennet") -> Potential:
    """Loads a potential by its name, or from its file."""

def _command(arguments: Sequence[str]) -> int: ...
def _radii() -> list[float]: ...
def _restore(text: str, id: str | None) -> Structure: ...
def _read(
    path: _Path,
    filters: Sequence[str],
    strict: bool,
    callback: _Watch = None,
    threads: int | None = None,
) -> list[Structure | Failure]: ...
def _write(rows: _Rows, path: _Path, format: str | None = None, overwrite: bool = False) -> None: ...
def _sample(
    options: Sequence[str],
    model: Model | None = None,
    to_folder: bool = False,
    callback: _Watch = None,
    threads: int | None = None,
) -> tuple[list[Structure | Failure], bool]: ...
def _train(options: Sequence[str], callback: _Watch = None, threads: int | None = None) -> dict[str, Any]: ...
def _holds_run(path: _Path) -> bool: ...
def _evaluation(text: str, path: _Path) -> _Evaluation | None: ...
def _evaluate(
    options: Sequence[str],
    generated: _Set,
    reference: _Set,
    train: _Set | None = None,
    callback: _Watch = None,
    threads: int | None = None,
) -> _Evaluation: ...
def _match(options: Sequence[str], a: Structure, b: Structure) -> dict[str, Any]: ...
def _featurize(
    options: Sequence[str], set: _Set, callback: _Watch = None, threads: int | None = None
) -> list[dict[str, Any]]: ...
def _reconstruct(
    options: Sequence[str],
    model: Model,
    data: _Path,
    to_folder: bool = False,
    callback: _Watch = None,
    threads: int | None = None,
) -> tuple[list[Structure | Failure], bool, _Evaluation | None]: ...
def _relax(
    options: Sequence[str],
    set: _Set,
    potential: Potential | None = None,
    out: _Path | None = None,
    callback: _Watch = None,
    threads: int | None = None,
) -> tuple[list[Structure | Failure], bool]: ...
def _hull(
    options: Sequence[str],
    entries: Sequence[_Set],
    query: _Set | None = None,
    threads: int | None = None,
) -> dict[str, Any]: ...
def _screen(
    options: Sequence[str],
    candidates: _Set,
    reference: _Set,
    train: _Set | None = None,
    callback: _Watch = None,
    threads: int | None = None,
) -> dict[str, Any] | None: ...
def _predict(options: Sequence[str], model: Model, data: _Set, threads: int | None = None) -> dict[str, Any]: ...
