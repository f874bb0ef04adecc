"""How the package is used, as mypy sees it; it is not run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import druse


def stop_early(event: druse.Event) -> bool:
    return event.done < 10


crystals: druse.Structures = druse.sample("LiFeO2", n=8, seed=0, callback=stop_early)
first: druse.Structure = crystals[0]
positions: NDArray[np.float64] = first.frac_coords
group: tuple[int, str] = first.space_group()
report: druse.Report = druse.evaluate(crystals, "data/mp_20/test.csv", train="data/mp_20/train.csv")
valid: float | None = report["valid"]
same: bool = bool(druse.match(first, "a.cif"))
relaxed: druse.Structures = druse.relax(crystals, potential=druse.load_potential("sevennet"), fmax=0.1)
rows: list[dict[str, object]] = druse.featurize(relaxed, ["validity"])
run: druse.Training = druse.train("data/mp_20", "runs/mp20", settings={"train.epochs": 2})
model: druse.Model = run.model()
error: druse.DruseError = druse.InputError("words", "hint")
