"""Objects of pymatgen and ASE: stand-ins that do what these do, and the real ones where they are installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

import druse

from common import close, rock_salt

needs_pymatgen = pytest.mark.skipif(importlib.util.find_spec("pymatgen") is None, reason="pymatgen is not installed")
needs_ase = pytest.mark.skipif(importlib.util.find_spec("ase") is None, reason="ASE is not installed")


class Element:
    def __init__(self, symbol):
        self.symbol = symbol


class Lattice:
    def __init__(self, matrix):
        self.matrix = np.array(matrix, dtype=float)


class Site:
    def __init__(self, text, ordered):
        self.species_string, self.is_ordered = text, ordered


class PymatgenLike:
    """What is known of pymatgen's Structure."""

    def __init__(self, matrix, symbols, coords, ordered=True):
        self.lattice, self.frac_coords = Lattice(matrix), np.array(coords)
        self.species = [Element(s) for s in symbols]
        self.is_ordered = ordered
        self.sites = [Site(s, ordered or i == 0) for i, s in enumerate(symbols)]
        self.properties = {"energy": np.float64(-3.5), "calculation": object()}


class AseLike:
    """What is known of ASE's Atoms."""

    def __init__(self, cell, symbols, coords, pbc=(True, True, True)):
        self.cell, self.symbols, self.coords, self.pbc, self.info = cell, symbols, coords, pbc, {"name": "salt", "x": [1]}

    def get_cell(self):
        return np.array(self.cell, dtype=float)

    def get_pbc(self):
        return np.array(self.pbc)

    def get_chemical_symbols(self):
        return list(self.symbols)

    def get_scaled_positions(self, wrap=True):
        assert not wrap
        return np.array(self.coords, dtype=float)


CELL = [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]]
SITES = [[0, 0, 0], [0.5, 0.5, 0.5]]


def test_stand_ins_are_taken():
    salt = druse.convert(PymatgenLike(CELL, ["Na", "Cl"], SITES))
    assert salt == rock_salt() and salt.properties == {"energy": -3.5}
    salt = druse.convert(AseLike(CELL, ["Na", "Cl"], SITES))
    assert salt == rock_salt() and salt.properties == {"name": "salt"}
    assert druse.match(PymatgenLike(CELL, ["Na", "Cl"], SITES), AseLike(CELL, ["Na", "Cl"], SITES)).fit
    rows = druse.featurize([AseLike(CELL, ["Na", "Cl"], SITES)] * 2, "symmetry")
    assert [row["symmetry"]["symprec_0.01"]["number"] for row in rows] == [225, 225]


def test_what_cannot_be_taken_is_told():
    disordered = PymatgenLike(CELL, ["Na", "Fe:0.5, Co:0.5"], SITES, ordered=False)
    with pytest.raises(druse.InputError, match="site 1 is shared by Fe:0.5, Co:0.5"):
        druse.convert(disordered)
    with pytest.raises(druse.InputError, match="not periodic"):
        druse.convert(AseLike(CELL, ["Na", "Cl"], SITES, pbc=(True, True, False)))
    with pytest.raises(druse.InputError, match="no cell"):
        druse.convert(AseLike(np.zeros((3, 3)), ["Na", "Cl"], SITES))
    for nonsense in (3, None, object()):
        with pytest.raises(druse.InputError):
            druse.convert(nonsense)
        with pytest.raises(druse.InputError, match="no set of structures"):
            druse.featurize(nonsense)
    for empty in ([], (), iter([])):
        with pytest.raises(druse.InputError, match="empty"):
            druse.relax(empty)
    with pytest.raises(druse.InputError, match="no structure"):
        druse.evaluate([rock_salt(), 3], [rock_salt()])


def test_neither_is_imported_to_take_one():
    code = "import druse, sys; druse.match(*[druse.sample('NaCl', n=1)[0]] * 2); print(sorted({'ase', 'pymatgen', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@needs_pymatgen
def test_pymatgen_there_and_back():
    salt = rock_salt().with_properties({"energy": -1.0})
    theirs = salt.to_pymatgen()
    assert theirs.composition.reduced_formula == "NaCl" and theirs.volume == pytest.approx(salt.volume)
    back = druse.convert(theirs)
    assert back == salt and back.properties == {"energy": -1.0}
    theirs[0] = {"Na": 0.5, "K": 0.5}
    with pytest.raises(druse.InputError, match="site 0 is shared by"):
        druse.convert(theirs)
    theirs[0] = "Na+"
    assert druse.convert(theirs).species == ["Na", "Cl"]


@needs_ase
def test_ase_there_and_back():
    salt = rock_salt().with_properties({"name": "salt"})
    theirs = salt.to_ase()
    assert theirs.get_chemical_formula() == "ClNa" and all(theirs.pbc)
    back = druse.convert(theirs)
    assert close(back.frac_coords, salt.frac_coords) and close(back.lattice, salt.lattice)
    assert back.species == salt.species and back.properties == {"name": "salt"}


@needs_ase
@pytest.mark.parametrize("name", ["sevennet", "spheres"])
def test_the_calculator_has_the_forces_of_its_energy(name):
    from druse.ase import Calculator

    # The file is of this package, the name that it imports of ASE.
    atoms = rock_salt(edge=5.9).to_ase() * (1, 1, 1)
    atoms.rattle(0.05, seed=1)
    atoms.calc = Calculator(name)
    forces, stress = atoms.get_forces(), atoms.get_stress()
    assert forces.shape == (2, 3) and stress.shape == (6,)
    assert np.abs(forces.sum(axis=0)).max() < 1e-4
    step = 1e-3

    def energy(change):
        moved = atoms.copy()
        change(moved)
        moved.calc = Calculator(atoms.calc.potential)
        return moved.get_potential_energy()

    def push(sign):
        def change(a):
            a.positions[0, 0] += sign * step

        return change

    slope = (energy(push(1)) - energy(push(-1))) / (2 * step)
    assert forces[0, 0] == pytest.approx(-slope, abs=2e-3)

    def strain(sign):
        def change(a):
            a.set_cell(a.cell[:] @ np.diag([1, 1, 1 + sign * step]), scale_atoms=True)

        return change

    slope = (energy(strain(1)) - energy(strain(-1))) / (2 * step) / atoms.get_volume()
    assert stress[2] == pytest.approx(slope, abs=1e-4)
    with pytest.raises(druse.InputError, match="neither a potential nor a file"):
        Calculator("no such potential")
