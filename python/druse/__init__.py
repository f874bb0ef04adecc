"""Generative models of crystals: train, sample, evaluate, relax and screen.

    import druse

    crystals = druse.sample("LiFeO2", n=8, seed=0)
    report = druse.evaluate(crystals, "data/mp_20/test.csv")

The functions are the commands of the program `druse`, with the same options under the same names (`max_atoms` for
`--max-atoms`), the same results and the same words of errors. Where a set of structures is asked for, the path of a file or
folder does, a structure, or a list of structures, of druse, pymatgen or ASE.

Long calls release the interpreter's lock; Ctrl-C stops them. `callback` is called with an `Event` of what happens; one that
returns False stops the call, which gives back what there is. `progress` says whether a bar is shown (by default in terminals
and notebooks). `threads` changes how long it takes, and nothing else.
"""

from __future__ import annotations

import os as _os

from . import _events
from ._druse import (
    Array,
    Event,
    Failure,
    Model,
    Potential,
    Structure,
    __version__,
    _evaluate,
    _featurize,
    _holds_run,
    _hull,
    _match,
    _predict,
    _read,
    _reconstruct,
    _relax,
    _sample,
    _screen,
    _train,
    _write,
    load_model,
    load_potential,
)
from ._errors import (
    DruseError,
    DruseWarning,
    ForkError,
    InputError,
    InternalError,
    MissingPackage,
    Stopped,
    WorkError,
)
from ._results import (
    Hull,
    Match,
    Predictions,
    Reconstruction,
    Report,
    Screening,
    Structures,
    Training,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from ._events import _Callback

    _Path = str | _os.PathLike[str]

__all__ = [
    "Array",
    "DruseError",
    "DruseWarning",
    "Event",
    "Failure",
    "ForkError",
    "Hull",
    "InputError",
    "InternalError",
    "Match",
    "MissingPackage",
    "Model",
    "Potential",
    "Predictions",
    "Reconstruction",
    "Report",
    "Screening",
    "Stopped",
    "Structure",
    "Structures",
    "Training",
    "WorkError",
    "__version__",
    "convert",
    "evaluate",
    "featurize",
    "hull",
    "load_model",
    "load_potential",
    "match",
    "predict",
    "read",
    "reconstruct",
    "relax",
    "sample",
    "screen",
    "train",
    "write",
]


#: Names a folder where the command line has to have one and none is written.
_NOWHERE = "nowhere"


def _text(value: object) -> str:
    """A value as the command line has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, bytes, _os.PathLike)):
        return _os.fsdecode(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_quoted(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_quoted(item)}" for key, item in value.items()) + "}"
    if hasattr(value, "item"):
        return _text(value.item())
    return repr(value) if isinstance(value, float) else str(value)


def _quoted(value: object) -> str:
    """A value within a list or table."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return _text(value)


def _options(**given: object) -> list[str]:
    """Options of the command line: true is a flag, a list is repeated, what is none or false is left out."""
    options = []
    for name, value in given.items():
        flag = "--" + name.rstrip("_").replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            options.append(flag)
        elif isinstance(value, (list, tuple)):
            options.extend(f"{flag}={_text(item)}" for item in value)
        else:
            options.append(f"{flag}={_text(value)}")
    return options


def _several(value: object) -> object:
    """A text as a list with that text."""
    return [value] if isinstance(value, str) else None if value is None else list(value)  # type: ignore[call-overload]


def _changes(settings: Mapping[str, object] | None) -> list[str]:
    """Settings as `KEY=VALUE`."""
    return [f"{key}={_text(value)}" for key, value in (settings or {}).items()]


def _rows(value: object, what: str) -> str | list[Structure | Failure]:
    from ._convert import rows

    return rows(value, what)


def _named(rows: str | list[Structure | Failure], otherwise: str) -> list[str]:
    """A set as a positional argument."""
    return ["--", rows if isinstance(rows, str) else otherwise]


class _File:
    """A set as a file: its own, or one for the time of the call. As a context it gives the path."""

    def __init__(self, rows: str | list[Structure | Failure]) -> None:
        self._rows = rows
        self._folder: Any = None

    def __enter__(self) -> str:
        if isinstance(self._rows, str):
            return self._rows
        import tempfile

        self._folder = tempfile.TemporaryDirectory(prefix="druse-")
        path = _os.path.join(self._folder.name, "structures.jsonl")
        _write([row for row in self._rows if isinstance(row, Structure)], path, None, False)
        return path

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()


def _model(model: _Path | Model | None, device: str) -> Model:
    return model if isinstance(model, Model) else load_model(model, device)


def read(
    path: _Path,
    *,
    filters: str | Iterable[str] = (),
    strict: bool = False,
    threads: int | None = None,
    callback: _Callback | None = None,
    progress: bool | None = None,
) -> Structures:
    """Every structure of a file or folder, in any format that druse reads; rows that give none are in `failures`."""
    name = _os.fspath(path)
    chosen = [filters] if isinstance(filters, str) else list(filters)
    with _events.Follow("reading", callback, progress) as watch:
        return Structures(_read(name, chosen, strict, watch, threads))


def write(
    structures: object,
    path: _Path,
    *,
    format: str | None = None,
    overwrite: bool = False,
) -> None:
    """Writes structures to a file or folder: JSON Lines, CSV, extended XYZ, a folder of CIFs or POSCARs."""
    rows = _rows(structures, "structures")
    if isinstance(rows, str):
        rows = read(rows).rows
    _write([row for row in rows if isinstance(row, Structure)], _os.fspath(path), format, overwrite)


def convert(structure: object) -> Structure:
    """The structure that an object of pymatgen or ASE, a dictionary or a file is."""
    from ._convert import structure as of

    return of(structure)


def sample(
    formula: str | None = None,
    *,
    n: int | None = None,
    seed: int = 0,
    model: _Path | Model | None = None,
    system: str | None = None,
    atoms: int | None = None,
    space_group: int | str | None = None,
    sites: str | None = None,
    wyckoff: str | None = None,
    like: object = None,
    latents: _Path | None = None,
    settings: Mapping[str, object] | None = None,
    out: _Path | None = None,
    format: str | None = None,
    resume: bool = False,
    shard: str | None = None,
    each_composition: bool = False,
    max_unit: int | None = None,
    grid: bool = False,
    max_units: int | None = None,
    max_atoms: int | None = None,
    templates_only: bool = False,
    max_templates: int | None = None,
    max_sites: int | None = None,
    free_positions: bool = False,
    with_sites: bool = False,
    rank: str | None = None,
    batch_size: int | None = None,
    device: str = "cpu",
    precision: str | None = None,
    threads: int | None = None,
    callback: _Callback | None = None,
    progress: bool | None = None,
) -> Structures:
    """Samples structures: of a formula, of `sites` or `wyckoff` positions in a `space_group`, of the compositions of a set
    (`like`), or what the model draws, of a chemical `system`, with so many `atoms`, in a `space_group`, or anything.

    Same model, request and seed, same structures, byte for byte those of `druse sample`. With `out` they are written to a
    folder, too, as the program does.
    """
    options = _options(
        formula=formula,
        count=n,
        seed=seed,
        system=system,
        atoms=atoms,
        space_group=space_group,
        sites=sites,
        wyckoff=wyckoff,
        latents=latents,
        out=_NOWHERE if out is None else out,
        format=format,
        resume=resume,
        shard=shard,
        each_composition=each_composition,
        max_unit=max_unit,
        grid=grid,
        max_units=max_units,
        max_atoms=max_atoms,
        templates_only=templates_only,
        max_templates=max_templates,
        max_sites=max_sites,
        free_positions=free_positions,
        with_sites=with_sites,
        rank=rank,
        batch_size=batch_size,
        device=model.device if isinstance(model, Model) else device,
        precision=precision,
        set=_changes(settings),
    )
    loaded = model if isinstance(model, Model) else None
    if loaded is not None and (settings or templates_only or precision):
        # Settings make another model of the file.
        model, loaded = loaded.path, None
    if loaded is None:
        options += _options(model=model)
    if like is None:
        with _events.Follow("structures", callback, progress) as watch:
            return Structures(*_sample(options, loaded, out is not None, watch, threads))
    with _File(_rows(like, "like")) as path, _events.Follow("structures", callback, progress) as watch:
        options += _options(like=path)
        return Structures(*_sample(options, loaded, out is not None, watch, threads))


def train(
    data: object = None,
    out: _Path = "",
    *,
    preset: str | None = None,
    config: _Path | None = None,
    settings: Mapping[str, object] | None = None,
    resume: bool = False,
    init: _Path | None = None,
    device: str | None = None,
    threads: int | None = None,
    processes: int | None = None,
    callback: _Callback | None = None,
    progress: bool | None = None,
) -> Training:
    """Trains a model on a data set, in a folder: `druse train`.

    The callback is told of every step and epoch; `event.values` has losses, learning rate and speed. Ctrl-C saves and stops;
    `resume` continues with the numbers of an unbroken run. Structures in memory are written to the folder first.
    `processes` share the work of every batch, each with its `threads` (the cores divided among them, if none are given); the
    numbers are the same for all of them.
    """
    folder = _os.fspath(out)
    if not folder:
        raise InputError("no folder is named", "add out=\"runs/mine\"")
    options = _options(
        out=folder, preset=preset, config=config, set=_changes(settings), resume=resume, init=init, device=device
    )
    if processes is not None and processes > 1:
        threads = threads or max(1, (_os.cpu_count() or 1) // processes)
        options += _options(threads=threads)
    options += _options(processes=processes)
    if data is not None:
        rows = _rows(data, "data")
        if not isinstance(rows, str):
            path = _os.path.join(folder, "training-data.jsonl")
            # A run that is there keeps what it was trained on.
            if not _holds_run(folder):
                _os.makedirs(folder, exist_ok=True)
                _write([row for row in rows if isinstance(row, Structure)], path, None, True)
            rows = path
        options += _options(data=rows)
    with _events.Follow("training", callback, progress) as watch:
        return Training(folder, _train(options, watch, threads))


def evaluate(
    generated: object,
    reference: object,
    *,
    train: object = None,
    task: str = "generation",
    protocol: str | None = None,
    cutoffs: str | None = None,
    properties: str | Iterable[str] = (),
    samples: int | None = None,
    seed: int = 0,
    symprec: float | None = None,
    symmetry: bool = True,
    unique: bool = True,
    bootstrap: int | None = None,
    preset: str | None = None,
    ltol: float | None = None,
    stol: float | None = None,
    angle_tol: float | None = None,
    primitive: bool = True,
    scale: bool = True,
    cache: bool = True,
    filters: str | Iterable[str] = (),
    reference_filters: str | Iterable[str] = (),
    pair: str | None = None,
    group_by: str | None = None,
    baseline: str | None = None,
    optimize: str | None = None,
    start: str | None = None,
    maximize: bool = False,
    definition: str | None = None,
    energy: str | Iterable[str] = (),
    hull_energy: str | Iterable[str] = (),
    energy_scale: str | Iterable[str] = (),
    hull_scale: str | Iterable[str] = (),
    force_scale: bool = False,
    submitted: int | None = None,
    unrelaxed: _Path | None = None,
    strict: bool = False,
    threads: int | None = None,
    callback: _Callback | None = None,
    progress: bool | None = None,
) -> Report:
    """Judges generated structures against a reference: validity, coverage, distances, uniqueness, novelty, match rates,
    stability; `druse evaluate`. Every metric comes with its protocol."""
    judged, known = _rows(generated, "generated"), _rows(reference, "reference")
    training = None if train is None else _rows(train, "train")
    options = _options(
        reference=known if isinstance(known, str) else "reference",
        train=training if training is None or isinstance(training, str) else "train",
        task=task,
        protocol=protocol,
        cutoffs=cutoffs,
        property=_several(properties),
        samples=samples,
        seed=seed,
        symprec=symprec,
        no_symmetry=not symmetry,
        no_unique=not unique,
        bootstrap=bootstrap,
        preset=preset,
        ltol=ltol,
        stol=stol,
        angle_tol=angle_tol,
        no_primitive=not primitive,
        no_scale=not scale,
        no_cache=not cache,
        filter=_several(filters),
        reference_filter=_several(reference_filters),
        pair=pair,
        group_by=group_by,
        baseline=baseline,
        optimize=optimize,
        start=start,
        maximize=maximize,
        definition=definition,
        energy=_several(energy),
        hull_energy=_several(hull_energy),
        energy_scale=_several(energy_scale),
        hull_scale=_several(hull_scale),
        force_scale=force_scale,
        submitted=submitted,
        unrelaxed=unrelaxed,
        strict=strict,
    ) + _named(judged, "generated")
    with _events.Follow("evaluating", callback, progress) as watch:
        return Report(_evaluate(options, judged, known, training, watch, threads))


def match(
    a: object,
    b: object,
    *,
    preset: str | None = None,
    ltol: float | None = None,
    stol: float | None = None,
    angle_tol: float | None = None,
    primitive: bool = True,
    scale: bool = True,
) -> Match:
    """Whether two structures are the same, and how far apart their sites are: `druse match`."""
    options = _options(
        preset=preset,
        ltol=ltol,
        stol=stol,
        angle_tol=angle_tol,
        no_primitive=not primitive,
        no_scale=not scale,
    ) + ["--", "a", "b"]
    return Match(**_match(options, convert(a), convert(b)))


def featurize(
    structures: object,
    features: str | Sequence[str] = ("validity", "symmetry"),
    *,
    niggli: bool = False,
    filters: str | Iterable[str] = (),
    strict: bool = False,
    threads: int | None = None,
    callback: _Callback | None = None,
    progress: bool | None = None,
) -> list[dict[str, Any]]:
    """Features of each structure: crystalnn, magpie, validity, symmetry, niggli, neighbors; `druse featurize`.

    A dictionary a row, with `id`, `composition`, a member for each feature, and `error`, which says what could not be computed.
    """
    rows = _rows(structures, "structures")
    wanted = features if isinstance(features, str) else ",".join(features)
    options = _options(features=wanted, niggli=niggli, filter=_several(filters), strict=strict)
    with _events.Follow("features", callback, progress) as watch:
        return _featurize(options + _named(rows, "structures"), rows, watch, threads)


def reconstruct(
    structures: object,
    model: _Path | Model,
    *,
    count: int | None = None,
    candidates: int | None = None,
    mean: bool = False,
    latent_seed: int | None = None,
    true_atoms: bool = False,
    true_species: bool = False,
    evaluation: bool = True,
    seed: int = 0,
    settings: Mapping[str, object] | None = None,
    out: _Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
    callback: _Callback | None = None,
    progress: bool | None = None,
) -> Reconstruction:
    """Encodes structures, decodes them again and compares, with a model that has a latent space: `druse reconstruct`."""
    loaded = _model(model, device)
    if settings:
        raise InputError(
            "sampling settings cannot be changed here", "train or export a model with them, or use druse.sample(latents=...)"
        )
    with _File(_rows(structures, "structures")) as path:
        options = _options(
            model=loaded.path or loaded.name,
            count=count,
            candidates=candidates,
            mean=mean,
            latent_seed=latent_seed,
            true_atoms=true_atoms,
            true_species=true_species,
            no_evaluation=not evaluation,
            seed=seed,
            out=_NOWHERE if out is None else out,
        ) + ["--", path]
        with _events.Follow("structures", callback, progress) as watch:
            rows, stopped, report = _reconstruct(options, loaded, path, out is not None, watch, threads)
    return Reconstruction(Structures(rows, stopped), None if report is None else Report(report))


def relax(
    structures: object,
    *,
    potential: str | Potential = "sevennet",
    cell: str | None = None,
    optimizer: str | None = None,
    constants: Mapping[str, float] | None = None,
    fmax: float | None = None,
    steps: int | None = None,
    pressure: float | None = None,
    keep_symmetry: bool = False,
    symprec: float | None = None,
    max_expansion: float | None = None,
    min_distance: float | None = None,
    trajectory: bool = False,
    out: _Path | None = None,
    format: str | None = None,
    resume: bool = False,
    shard: str | None = None,
    filters: str | Iterable[str] = (),
    strict: bool = False,
    threads: int | None = None,
    callback: _Callback | None = None,
    progress: bool | None = None,
) -> Structures:
    """Relaxes structures: moves atoms and cell until the forces vanish; `druse relax`.

    The figures are properties that begin with `relax_`: energies (eV), forces (eV/Å), stress (GPa), steps, displacements (Å).
    """
    rows = _rows(structures, "structures")
    options = _options(
        potential=potential if isinstance(potential, str) else None,
        cell=cell,
        optimizer=optimizer,
        set=_changes(constants),
        fmax=fmax,
        steps=steps,
        pressure=pressure,
        keep_symmetry=keep_symmetry,
        symprec=symprec,
        max_expansion=max_expansion,
        min_distance=min_distance,
        trajectory=trajectory,
        out=_NOWHERE if out is None else out,
        format=format,
        resume=resume,
        shard=shard,
        filter=_several(filters),
        strict=strict,
    ) + _named(rows, "structures")
    loaded = None if isinstance(potential, str) else potential
    folder = None if out is None else _os.fspath(out)
    with _events.Follow("structures", callback, progress) as watch:
        return Structures(*_relax(options, rows, loaded, folder, watch, threads))


def hull(
    entries: object,
    *,
    query: object = None,
    system: str | None = None,
    energy: str | None = None,
    energy_of: str | None = None,
    energy_scale: str | None = None,
    contradictions: str | None = None,
    query_energy: str | None = None,
    query_scale: str | None = None,
    force_scale: bool = False,
    check: str | Iterable[str] = (),
    strict: bool = False,
    threads: int | None = None,
) -> Hull:
    """The convex hull of a set of phases, or of several (a list of paths): energies above it, decompositions, the phase diagram
    of a `system`; `druse hull`."""
    if isinstance(entries, (list, tuple)) and entries and all(isinstance(e, (str, _os.PathLike)) for e in entries):
        sets = [_rows(e, "entries") for e in entries]
    else:
        sets = [_rows(entries, "entries")]
    asked = None if query is None else _rows(query, "query")
    options = _options(
        query=asked if asked is None or isinstance(asked, str) else "query",
        system=system,
        energy=energy,
        energy_of=energy_of,
        energy_scale=energy_scale,
        contradictions=contradictions,
        query_energy=query_energy,
        query_scale=query_scale,
        force_scale=force_scale,
        check=_several(check),
        strict=strict,
    ) + ["--", *(s if isinstance(s, str) else "entries" for s in sets)]
    return Hull(_hull(options, sets, asked, threads))


def screen(
    candidates: object,
    reference: object,
    *,
    train: object = None,
    potential: str = "sevennet",
    charge_neutral: bool = False,
    optimizer: str | None = None,
    fmax: float | None = None,
    steps: int | None = None,
    keep_symmetry: bool = False,
    relax_references: bool = False,
    formation_energy: str | None = None,
    max_e_above_hull: float | None = None,
    keep: int | None = None,
    out: _Path | None = None,
    resume: bool = False,
    shard: str | None = None,
    filters: str | Iterable[str] = (),
    strict: bool = False,
    threads: int | None = None,
    callback: _Callback | None = None,
    progress: bool | None = None,
) -> Screening:
    """Screens candidates: validity, duplicates, relaxation, energy above hull, novelty, ranking; `druse screen`.

    Of a share of the candidates (`shard`, which needs `out`) only what takes time is done, their relaxation.
    """
    rows, known = _rows(candidates, "candidates"), _rows(reference, "reference")
    training = None if train is None else _rows(train, "train")
    given = _options(
        reference=known if isinstance(known, str) else "reference",
        train=training if training is None or isinstance(training, str) else "train",
        potential=potential,
        charge_neutral=charge_neutral,
        optimizer=optimizer,
        fmax=fmax,
        steps=steps,
        keep_symmetry=keep_symmetry,
        relax_references=relax_references,
        formation_energy=formation_energy,
        max_e_above_hull=max_e_above_hull,
        keep=keep,
        resume=resume,
        shard=shard,
        filter=_several(filters),
        strict=strict,
    )

    def run(folder: str) -> Screening:
        options = given + _options(out=folder) + _named(rows, "candidates")
        with _events.Follow("screening", callback, progress) as watch:
            found = _screen(options, rows, known, training, watch, threads)
        if found is None:
            raise Stopped("the screening was stopped", "with out and resume=True it continues")
        share = {"rows": [], "structures": [], "funnel": {"ranked": 0}, "references": {}}
        return Screening(found or share, None if out is None else folder)

    if out is not None:
        return run(_os.fspath(out))
    import tempfile

    with tempfile.TemporaryDirectory(prefix="druse-") as folder:
        return run(folder)


def predict(
    structures: object,
    model: _Path | Model,
    *,
    split: str | None = None,
    strict: bool = False,
    device: str = "cpu",
    threads: int | None = None,
) -> Predictions:
    """Predicts the property that a model has learned, for each structure: `druse predict`."""
    loaded = _model(model, device)
    rows = _rows(structures, "structures")
    name = str(loaded.path or loaded.name)
    options = _options(split=split, strict=strict) + ["--", name, rows if isinstance(rows, str) else "structures"]
    return Predictions(_predict(options, loaded, rows, threads))
