"""Crystals of the tests."""

from __future__ import annotations

import math

from pathlib import Path

import druse


def rock_salt(cation: str = "Na", anion: str = "Cl", edge: float = 5.64) -> druse.Structure:
    """Rock salt in its primitive cell; the edge is that of the conventional cell (Å)."""
    h = edge / 2
    return druse.Structure([[0, h, h], [h, 0, h], [h, h, 0]], [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


#: Salts and the edges of their conventional cells (Å).
SALTS = [("Li", "F", 4.03), ("Na", "Cl", 5.64), ("K", "Br", 6.60), ("Mg", "O", 4.21), ("Ca", "S", 5.69), ("Ag", "Cl", 5.55)]


def close(a, b, tolerance: float = 1e-9) -> bool:
    """Whether rows of numbers are the same."""
    return all(math.isclose(x, y, abs_tol=tolerance) for r, s in zip(a, b, strict=True) for x, y in zip(r, s, strict=True))


def sampled(seed: int) -> str:
    """The CIF of a salt; here, where other processes find it."""
    return druse.sample("NaCl", n=1, seed=seed)[0].to_cif()


# Draws as many different structures of a composition as are asked for, none of them symmetric.
GEMSDIFF = Path(__file__).resolve().parents[2] / "models/gemsdiff-small-mp-20.safetensors"
