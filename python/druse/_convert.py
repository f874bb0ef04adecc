"""Structures of other packages, known by what they can do; none of these packages is imported to take one."""

from __future__ import annotations

import os
from typing import Any

from ._druse import Failure, Structure
from ._errors import InputError, MissingPackage

#: Smallest volume of a cell that periodic atoms can have (Å³).
_LEAST_VOLUME = 1e-6


def _lists(rows: Any) -> list[list[float]]:
    """Rows of numbers as lists."""
    return [[float(x) for x in row] for row in rows]


def _plain(properties: Any) -> dict[str, Any]:
    """Those of named values that are numbers or text."""
    if not isinstance(properties, dict):
        return {}
    kinds = (bool, int, float, str)
    found = {}
    for key, value in properties.items():
        if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
            value = value.item()
        if isinstance(value, kinds):
            found[str(key)] = value
    return found


def _symbol(species: Any) -> Any:
    """The symbol of one of pymatgen's elements or ions."""
    symbol = getattr(species, "symbol", None)
    if symbol is None:
        element = getattr(species, "element", species)
        symbol = getattr(element, "symbol", species)
    return str(symbol) if not isinstance(symbol, int) else symbol


def _of_pymatgen(crystal: Any) -> Structure:
    """Of pymatgen's `Structure`."""
    if not getattr(crystal, "is_ordered", True):
        for number, site in enumerate(crystal.sites):
            if not getattr(site, "is_ordered", True):
                who = getattr(site, "species_string", "several species")
                raise InputError(
                    f"the structure is disordered: site {number} is shared by {who}",
                    "druse knows sites of one element; order it first, for example with pymatgen's "
                    "OrderDisorderedStructureTransformation",
                )
    return Structure(
        _lists(crystal.lattice.matrix),
        [_symbol(species) for species in crystal.species],
        _lists(crystal.frac_coords),
        properties=_plain(getattr(crystal, "properties", None)),
    )


def _of_ase(atoms: Any) -> Structure:
    """Of ASE's `Atoms`."""
    cell = _lists(atoms.get_cell())
    periodic = [bool(x) for x in atoms.get_pbc()] if hasattr(atoms, "get_pbc") else [True] * 3
    if not all(periodic):
        raise InputError(
            "the atoms are not periodic in three directions",
            "druse knows crystals: set a cell and atoms.pbc = True",
        )
    (a, b, c), (d, e, f), (g, h, i) = cell
    if abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)) < _LEAST_VOLUME:
        raise InputError("the atoms have no cell", "set one: atoms.cell = [...]")
    return Structure(
        cell,
        [str(symbol) for symbol in atoms.get_chemical_symbols()],
        _lists(atoms.get_scaled_positions(wrap=False)),
        properties=_plain(getattr(atoms, "info", None)),
    )


def structure(value: Any) -> Structure:
    """The structure that a value is: druse's own, pymatgen's or ASE's, a dictionary, or the path of a file with one."""
    if isinstance(value, Structure):
        return value
    if isinstance(value, (str, os.PathLike)):
        return Structure.from_file(value)
    if isinstance(value, dict):
        return Structure.from_dict(value)
    if hasattr(value, "lattice") and hasattr(value, "frac_coords"):
        return _of_pymatgen(value)
    if hasattr(value, "get_scaled_positions") and hasattr(value, "get_chemical_symbols"):
        return _of_ase(value)
    if isinstance(value, Failure):
        raise InputError(f"row {value.id} has no structure: {value.reason}")
    raise InputError(
        f"{type(value).__module__}.{type(value).__qualname__} is no structure",
        "give a structure of druse, pymatgen or ASE, or the path of a file",
    )


def _is_structure(value: Any) -> bool:
    return (
        isinstance(value, (Structure, Failure, dict))
        or (hasattr(value, "lattice") and hasattr(value, "frac_coords"))
        or hasattr(value, "get_scaled_positions")
    )


def rows(value: Any, what: str = "structures") -> str | list[Structure | Failure]:
    """A set of structures: the path of a file or folder as a text, or rows."""
    if isinstance(value, (str, os.PathLike)):
        path = os.fspath(value)
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not path:
            raise InputError(f"{what}: the path is empty", "give a file or folder, or a list of structures")
        return path
    known = getattr(value, "rows", None)
    if isinstance(known, list):
        value = known
    elif _is_structure(value):
        value = [value]
    try:
        found = [row if isinstance(row, Failure) else structure(row) for row in value]
    except TypeError as error:
        if hasattr(value, "__iter__"):
            raise
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        raise InputError(
            f"{what}: {kind} is no set of structures",
            "give the path of a file or folder, or a list of structures of druse, pymatgen or ASE",
        ) from error
    if not found:
        raise InputError(f"{what}: the list is empty", "give at least one structure")
    return found


def to_pymatgen(crystal: Structure) -> Any:
    """A structure as pymatgen's."""
    try:
        from pymatgen.core import Lattice, Structure as Pymatgen
    except ImportError as error:
        raise MissingPackage("pymatgen is not installed", "pip install pymatgen") from error
    lattice = [list(row) for row in crystal.lattice]
    coords = [list(row) for row in crystal.frac_coords]
    made = Pymatgen(Lattice(lattice), list(crystal.species), coords)
    if isinstance(getattr(made, "properties", None), dict):
        made.properties.update(crystal.properties)
    return made


def to_ase(crystal: Structure) -> Any:
    """A structure as ASE's atoms."""
    try:
        from ase import Atoms
    except ImportError as error:
        raise MissingPackage("ASE is not installed", "pip install ase") from error
    return Atoms(
        symbols=list(crystal.species),
        scaled_positions=[list(row) for row in crystal.frac_coords],
        cell=[list(row) for row in crystal.lattice],
        pbc=True,
        info=dict(crystal.properties),
    )
