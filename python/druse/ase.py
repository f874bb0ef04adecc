"""Potentials of druse as calculators of ASE.

    from ase.build import bulk
    from druse.ase import Calculator

    atoms = bulk("Cu")
    atoms.calc = Calculator("sevennet")
    atoms.get_potential_energy()

ASE has to be installed; nothing else of druse needs it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from . import _convert
from ._druse import Potential, load_potential
from ._errors import MissingPackage, WorkError

try:
    from ase.calculators.calculator import Calculator as _Base, all_changes
except ImportError as error:
    raise MissingPackage("ASE is not installed", "pip install ase") from error

__all__ = ["Calculator"]


class Calculator(_Base):  # type: ignore[misc]
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, positive in tension, in the order xx yy zz yz xz xy) of periodic atoms.

    `potential` is a name, a file as `druse relax --potential` takes it, or a loaded potential.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress", "magmoms"]

    def __init__(self, potential: str | Potential = "sevennet", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.potential = load_potential(potential) if isinstance(potential, str) else potential

    def calculate(
        self,
        atoms: Any = None,
        properties: list[str] | None = None,
        system_changes: list[str] | None = None,
    ) -> None:
        """Evaluates the atoms, of which any number of properties comes at the price of one."""
        super().calculate(atoms, properties, all_changes if system_changes is None else system_changes)
        import numpy

        (found,) = self.potential.evaluate([_convert.structure(self.atoms)])
        problem = found.get("error")
        if problem is not None:
            raise WorkError(str(problem))
        stress = numpy.asarray(found["stress"], dtype=float)
        self.results = {
            "energy": found["energy"],
            "free_energy": found["energy"],
            "forces": numpy.asarray(found["forces"], dtype=float),
            "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }
        if found["magnetic_moments"] is not None:
            self.results["magmoms"] = numpy.asarray(found["magnetic_moments"], dtype=float)
