"""Structures: arrays, formats, figures, errors."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import druse

from common import rock_salt


def test_arrays_are_views_that_nobody_can_change():
    salt = rock_salt()
    for name in ("lattice", "frac_coords", "cart_coords", "numbers"):
        first, second = getattr(salt, name), getattr(salt, name)
        assert isinstance(first, np.ndarray)
        assert np.shares_memory(first, second), name
        assert not first.flags.writeable
        with pytest.raises(ValueError):
            first[0] = 0
    # The memory stays as long as somebody looks at it.
    coords = salt.frac_coords
    del salt
    np.testing.assert_array_equal(coords, [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_lattice_vectors_are_rows():
    crystal = druse.Structure([[3, 0, 0], [1, 4, 0], [0.5, 0.25, 5]], ["Fe"], [[0.1, 0.2, 0.3]])
    np.testing.assert_array_equal(crystal.lattice, [[3, 0, 0], [1, 4, 0], [0.5, 0.25, 5]])
    np.testing.assert_allclose(crystal.cart_coords, crystal.frac_coords @ crystal.lattice, atol=1e-12)
    assert crystal.volume == pytest.approx(60.0)
    assert crystal.numbers.dtype == np.uint8 and crystal.numbers.tolist() == [26]


def test_numpy_arrays_are_taken():
    lattice, coords = np.eye(3) * 2.87, np.array([[0, 0, 0], [0.5, 0.5, 0.5]], dtype=np.float32)
    iron = druse.Structure(lattice, np.array([26, 26]), coords)
    assert iron.space_group() == (229, "Im-3m")
    assert len(iron.primitive()) == 1


def test_figures_of_rock_salt():
    salt = rock_salt()
    assert (salt.formula, salt.reduced_formula, salt.species) == ("Na1 Cl1", "NaCl", ["Na", "Cl"])
    assert salt.density == pytest.approx(2.164, abs=2e-3)
    assert salt.min_distance == pytest.approx(2.82)
    assert salt.space_group() == (225, "Fm-3m")
    assert len(salt.conventional()) == 8
    assert salt.niggli().lengths == pytest.approx([5.64 / 2**0.5] * 3)
    assert "Na1 Cl1" in repr(salt)


@pytest.mark.parametrize("format", ["cif", "poscar", "extxyz", "json"])
def test_formats_come_back(format, tmp_path):
    salt = rock_salt()
    again = druse.Structure.from_str(salt.to_str(format), format)
    assert again.species == salt.species
    assert druse.match(salt, again).rms == pytest.approx(0, abs=1e-6)
    ending = {"cif": "cif", "poscar": "vasp", "extxyz": "xyz", "json": "json"}[format]
    path = tmp_path / f"salt.{ending}"
    salt.write(path)
    assert druse.match(druse.Structure.from_file(path), salt)
    assert druse.read(path)[0].species == salt.species


def test_copies_and_pickles_are_equal():
    salt = rock_salt().with_properties({"energy": -1.5, "tags": ["a", 1]}, id="salt")
    for again in (pickle.loads(pickle.dumps(salt)), copy.deepcopy(salt), druse.Structure.from_dict(salt.as_dict())):
        assert again == salt and again.properties == {"energy": -1.5, "tags": ["a", 1]}
    assert pickle.loads(pickle.dumps(salt)).id == "salt"
    assert salt != rock_salt(edge=5.7) and salt != 3


def test_properties_of_numpy_are_plain():
    salt = rock_salt().with_properties({"n": np.int64(3), "x": np.float32(0.5), "v": np.arange(2), "none": None})
    assert salt.properties == {"n": 3, "x": 0.5, "v": [0, 1]}
    assert [type(v) for v in salt.properties.values()] == [int, list, float]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([[1, 0, 0], [0, 1, 0]], ["Fe"], [[0, 0, 0]]), "three rows of three numbers"),
        (("cubic", ["Fe"], [[0, 0, 0]]), "three rows of three numbers"),
        ((np.eye(3), "Fe", [[0, 0, 0]]), "not one text"),
        ((np.eye(3), ["Xx"], [[0, 0, 0]]), "unknown element `Xx`"),
        ((np.eye(3), [119], [[0, 0, 0]]), "unknown atomic number 119"),
        ((np.eye(3), [-1], [[0, 0, 0]]), "unknown atomic number -1"),
        ((np.eye(3), [None], [[0, 0, 0]]), "cannot be of the type"),
        ((np.eye(3), 26, [[0, 0, 0]]), "expected a list of elements"),
        ((np.eye(3), ["Fe"], [[0, 0]]), "three numbers for each site"),
        ((np.eye(3), ["Fe"], []), "1 species but 0 coordinates"),
        ((np.eye(3), [], []), "no atoms"),
        ((np.eye(3), ["Fe"], [[0, 0, float("nan")]]), "not a finite number"),
        ((np.zeros((3, 3)), ["Fe"], [[0, 0, 0]]), "must be positive"),
        (([[1, 0, 0], [2, 0, 0], [0, 0, 1]], ["Fe"], [[0, 0, 0]]), "no volume"),
    ],
)
def test_what_is_no_structure_is_told(arguments, words):
    with pytest.raises(druse.InputError, match=words):
        druse.Structure(*arguments)
    with pytest.raises(ValueError):
        druse.Structure(*arguments)


def test_errors_of_files_name_them(tmp_path):
    with pytest.raises(druse.InputError, match="nothing.cif"):
        druse.Structure.from_file(tmp_path / "nothing.cif")
    with pytest.raises(druse.InputError, match="nothing"):
        druse.read(tmp_path / "nothing")
    broken = tmp_path / "broken.cif"
    broken.write_text("data_x\n_cell_length_a 3\n")
    with pytest.raises(druse.InputError):
        druse.Structure.from_file(broken)
    with pytest.raises(druse.InputError, match="does not tell a format"):
        rock_salt().write(tmp_path / "salt.abc")
    with pytest.raises(druse.InputError, match="positive distance"):
        rock_salt().space_group(-1)
