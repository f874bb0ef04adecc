"""What the functions give back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from ._druse import Failure, Model, Structure, _evaluation, _Evaluation, _write, load_model
from ._errors import InputError

Path = str | os.PathLike[str]


class Structures(list[Structure]):
    """Structures in order; what failed is beside them, in `failures`, and in its place in `rows`."""

    #: Every row, structures and failures, in their order.
    rows: list[Structure | Failure]
    #: Whether the work was stopped before its end.
    interrupted: bool

    def __init__(self, rows: Iterable[Structure | Failure] = (), interrupted: bool = False) -> None:
        self.rows = list(rows)
        self.interrupted = interrupted
        super().__init__(row for row in self.rows if isinstance(row, Structure))

    @property
    def failures(self) -> list[Failure]:
        """The rows that give no structure."""
        return [row for row in self.rows if isinstance(row, Failure)]

    def write(self, path: Path, *, format: str | None = None, overwrite: bool = False) -> None:
        """Writes the structures to a file or folder: JSON Lines, CSV, extended XYZ, a folder of CIFs or POSCARs."""
        _write(list(self), os.fspath(path), format, overwrite)

    def __reduce__(self) -> tuple[type[Structures], tuple[list[Structure], bool]]:
        return (Structures, (list(self), self.interrupted))

    def _repr_html_(self) -> str:
        from ._html import structures

        return structures(self)


class Match(NamedTuple):
    """What a comparison of two structures gives. It is true where they are the same."""

    #: Whether some alignment keeps every site within the tolerance.
    fit: bool
    #: Smallest normalized root mean square distance; none where no alignment stays within the tolerance.
    rms: float | None
    #: Largest normalized distance of that alignment.
    max: float | None
    #: Whether the search was given up: there may be a closer alignment.
    unfinished: bool

    def __bool__(self) -> bool:
        return self.fit


class Report:
    """An evaluation: metrics with their protocol."""

    def __init__(self, handle: _Evaluation) -> None:
        self._handle = handle
        self._object: dict[str, Any] | None = None

    @classmethod
    def from_file(cls, path: Path) -> Report:
        """The evaluation that `druse evaluate --json` or `Report.save` wrote."""
        name = os.fspath(path)
        try:
            with open(name, encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read `{name}`: {error}") from error
        handle = _evaluation(text, name)
        if handle is None:
            raise InputError(f"`{name}` is no evaluation", "druse evaluate --json writes one")
        return cls(handle)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain objects, with the members that `--json` writes."""
        if self._object is None:
            self._object = self._handle.object()
        return self._object

    @property
    def task(self) -> str:
        """generation, reconstruction, prediction or stability."""
        return str(self.to_dict()["task"])

    @property
    def metrics(self) -> dict[str, float | None]:
        """The values by key; none for what could not be computed."""
        return dict(self.to_dict()["metrics"])

    @property
    def figures(self) -> list[dict[str, Any]]:
        """The metrics with protocol, sizes of the samples and intervals, in the order of reports."""
        return list(self.to_dict()["figures"])

    @property
    def remarks(self) -> list[str]:
        """What holds for all metrics."""
        return list(self.to_dict()["remarks"])

    @property
    def invalid(self) -> list[dict[str, Any]]:
        """The generated rows that are not valid, with the first reason."""
        return list(self.to_dict()["invalid"])

    def __getitem__(self, key: str) -> float | None:
        metrics = self.to_dict()["metrics"]
        if key not in metrics:
            raise KeyError(f"{key}; there are {', '.join(metrics)}")
        value = metrics[key]
        return None if value is None else float(value)

    def table(self) -> str:
        """The table that the program prints."""
        return self._handle.table()

    def html(self) -> str:
        """The page that `--html` writes; a browser shows it without network."""
        return self._handle.page()

    def json(self) -> str:
        """The members that `--json` writes, as text."""
        return self._handle.json() + "\n"

    def save(self, path: Path) -> None:
        """Writes the page, the JSON or the table, by the ending of the name: .html, .json or .txt."""
        name = os.fspath(path)
        made = {".html": self.html, ".json": self.json, ".txt": self.table}.get(os.path.splitext(name)[1].lower())
        if made is None:
            raise InputError(f"the name `{name}` does not tell a format", "end it with .html, .json or .txt")
        try:
            with open(name, "w", encoding="utf-8", newline="\n") as file:
                file.write(made())
        except OSError as error:
            raise InputError(f"cannot write `{name}`: {error}") from error

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        known = {key: value for key, value in self.metrics.items() if value is not None}
        shown = ", ".join(f"{key}={value:.4g}" for key, value in list(known.items())[:4])
        return f"<Report {self.task}: {shown}>"

    def _repr_html_(self) -> str:
        from ._html import report

        return report(self)


class Reconstruction(NamedTuple):
    """Structures that were encoded and decoded again."""

    #: The reconstructions; the property `reconstruction_of` says of what.
    structures: Structures
    #: How they compare; none where that was not asked for.
    report: Report | None


class Training:
    """A training run that has ended."""

    #: Folder of the run.
    path: str
    #: finished, early_stop, time_limit or interrupted.
    ending: str
    #: Steps done.
    step: int
    #: Epochs done.
    epoch: int
    #: Lowest validation loss; of the training, where nothing is validated.
    best: float | None

    def __init__(self, path: str, outcome: dict[str, Any]) -> None:
        self.path = path
        self.ending = str(outcome["ending"])
        self.step = int(outcome["step"])
        self.epoch = int(outcome["epoch"])
        self.best = outcome["best"]

    def model(self, device: str = "cpu") -> Model:
        """The best model of the run."""
        return load_model(self.path, device)

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of its log: a dictionary for each step and epoch."""
        with open(os.path.join(self.path, "metrics.jsonl"), encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def __repr__(self) -> str:
        best = "" if self.best is None else f", best loss {self.best:.4f}"
        return f"<Training {self.path}: {self.ending} after {self.epoch} epochs, {self.step} steps{best}>"


class Hull:
    """A hull of phases, and what was asked of it. Energies are in eV/atom."""

    #: Number of entries, elements, stable phases, and how far the hull can be trusted.
    summary: dict[str, Any]
    #: Every entry against the hull: id, formula, e_above_hull, decomposition and more.
    entries: list[dict[str, Any]]
    #: The queries against the hull, in their order; empty where there are none.
    query: list[dict[str, Any]]
    #: The phase diagram that was asked for.
    system: dict[str, Any] | None
    #: The comparison with energies above hull that was asked for.
    check: dict[str, Any] | None
    #: What everyone should know who reads these numbers.
    remarks: list[str]

    def __init__(self, found: dict[str, Any]) -> None:
        self.summary = found["hull"]
        self.entries = found["entries"]
        self.query = found["query"] or []
        self.system = found["system"]
        self.check = found["check"]
        self.remarks = found["remarks"]

    @property
    def stable(self) -> list[dict[str, Any]]:
        """The entries on the hull."""
        return [row for row in self.entries if row["e_above_hull"] is not None and row["e_above_hull"] <= 1e-8]

    def __repr__(self) -> str:
        return f"<Hull of {len(self.entries)} entries, {len(self.stable)} of them stable>"


class Screening:
    """Candidates after all gates."""

    #: A dictionary for every candidate, the ranked ones first; `structure` is the relaxed structure.
    rows: list[dict[str, Any]]
    #: How many fell at which gate, and how many are ranked.
    funnel: dict[str, Any]
    #: What the hull is made of.
    references: dict[str, Any]
    #: Folder of the results; none where none was given.
    path: str | None

    def __init__(self, found: dict[str, Any], path: str | None) -> None:
        self.rows = [{**row, "structure": s} for row, s in zip(found["rows"], found["structures"])]
        self.funnel = found["funnel"]
        self.references = found["references"]
        self.path = path

    @property
    def ranked(self) -> Structures:
        """The relaxed structures in the order of the ranking, with `rank`, `e_above_hull` and `novel` among their properties."""
        keys = ("rank", "e_above_hull", "energy_per_atom", "formation_energy_per_atom", "novel", "within")
        found: list[Structure | Failure] = []
        for row in self.rows:
            crystal = row["structure"]
            if row["rank"] is not None and crystal is not None:
                known = {key: row[key] for key in keys if row[key] is not None}
                found.append(crystal.with_properties({**crystal.properties, **known}))
        return Structures(found)

    def __repr__(self) -> str:
        return f"<Screening of {len(self.rows)} candidates, {self.funnel['ranked']} ranked>"

    def _repr_html_(self) -> str:
        from ._html import screening

        return screening(self)


class Predictions:
    """Predictions of one property, in the order of the set."""

    #: Name of the property.
    property: str
    #: id, prediction, reference (the value in the data) and error (why there is no prediction) of each row.
    rows: list[dict[str, Any]]
    #: The predictions alone.
    values: list[float | None]
    #: Errors over the rows that have both: mean_absolute, root_mean_square and others; none where no row has.
    error: dict[str, float] | None

    def __init__(self, found: dict[str, Any]) -> None:
        self.property = found["property"]
        self.rows = found["rows"]
        self.values = [row["prediction"] for row in self.rows]
        self.error = found["error"]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        error = "" if self.error is None else f", MAE {self.error['mean_absolute']:.4f}"
        return f"<Predictions of {self.property} for {len(self.rows)} structures{error}>"
