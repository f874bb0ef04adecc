"""druse on a Ray cluster: sampling, relaxation, screening and evaluation in tasks, into the folders that one machine would write.

    import druse.ray

    druse.ray.sample("LiFeO2", n=100_000, model="runs/x", out="lifeo2", shards=200)

The work is cut into shards that know nothing of each other. Workers (actors) keep the model or the potential loaded and do one
shard after the other; a shard that is lost with its worker or node is done again by another. What is finished is kept in
`OUT.ray`, so that the same call continues after the driver has died. At the end the shards are put together: the files of
`OUT` are those of a single process, byte for byte.

Paths have to be the same on all nodes (a shared file system); models, potentials and structures may be objects, which travel.
Needs the package `ray`; `ray.init()` is called where the program has not done it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import Failure, Model, Report, Screening, Structure, Structures, __version__, _rows, read
from . import screen as _screen
from ._druse import _evaluation
from ._errors import DruseError, InputError, InternalError, MissingPackage, WorkError

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ImportError as _error:
    raise MissingPackage("the package `ray` is not installed", "pip install ray") from _error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    _Path = str | os.PathLike[str]

__all__ = ["evaluate", "relax", "sample", "screen"]

#: Structures of a shard where nobody says how many shards there are.
_SHARD = 500


class _Worker:
    """Does shards, one after the other, with what it has loaded."""

    def __init__(self, threads: int, folder: str) -> None:
        self._threads = threads
        # Relative paths mean what they mean to the driver.
        if os.path.isdir(folder):
            os.chdir(folder)
        self._loaded: dict[str, object] = {}

    def runs(self) -> None:
        """Answers once the worker runs."""

    def _kept(self, load: Callable[..., object], *arguments: object) -> object:
        key = repr((load.__name__, arguments))
        if key not in self._loaded:
            self._loaded[key] = load(*arguments)
        return self._loaded[key]

    def shard(self, command: str, share: str, positional: list[object], options: dict[str, Any]) -> dict[str, bytes]:
        """The files of a shard."""
        import druse

        options = dict(options)
        if command == "sample":
            model, device = options.pop("model"), options.get("device", "cpu")
            # With other settings or in another precision it is another model, which the call loads itself.
            changed = options.get("settings") or options.get("precision")
            options["model"] = model if changed else self._kept(druse.load_model, model, device)
        if command == "relax":
            options["potential"] = self._kept(druse.load_potential, options["potential"])
        with tempfile.TemporaryDirectory(prefix="druse-") as folder:
            out = Path(folder) / "part"
            function = getattr(druse, command)
            function(*positional, out=out, shard=share, threads=self._threads, progress=False, **options)
            return _files(out)

    def evaluation(self, generated: object, reference: object, options: dict[str, Any]) -> str:
        """An evaluation, as JSON."""
        import druse

        return druse.evaluate(generated, reference, threads=self._threads, progress=False, **options).json()


def _files(folder: Path) -> dict[str, bytes]:
    """The files of a folder by their names; a lock is no result."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != ".lock":
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """A folder that appears whole or not at all."""
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for name, content in files.items():
        path = unfinished / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    os.replace(unfinished, folder)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Only one driver works on a folder; the system lets go of the lock when the process ends, however it does."""
    with open(folder / ".lock", "a+b") as file:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"another process works in `{folder}`", "wait for it, or choose another folder as out"
            ) from error
        yield


def _unpacked(error: Any) -> BaseException:
    """What a task raised, in the words of druse where it is one of its errors."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, DruseError):
        return type(cause)(cause.message, cause.hint)
    found: BaseException = error
    return found


class _Pool:
    """Workers that take tasks as they become free. A task waits here, not in a queue of Ray's, and is given to a worker that is
    known to run, so that none hangs on a worker for which the cluster has no room."""

    def __init__(
        self, workers: int | None, cpus: float, gpus: float, resources: Mapping[str, float] | None, retries: int
    ) -> None:
        if not ray.is_initialized():
            ray.init(log_to_driver=False)
        if not (cpus > 0 or gpus > 0):
            raise InputError("a worker needs a share of a core or of a GPU", "give cpus or gpus")
        self._actor = ray.remote(_Worker).options(
            num_cpus=cpus, num_gpus=gpus, resources=dict(resources or {}), max_restarts=0, max_concurrency=1
        )
        self._most, self._cpus, self._gpus, self._retries = workers, cpus, gpus, retries
        self._threads = max(1, int(cpus))
        self._starting: dict[Any, Any] = {}
        self._free: list[Any] = []
        self._busy: dict[Any, tuple[Any, int]] = {}

    def _room(self) -> int:
        """How many workers the cluster has room for; it changes while nodes come and go."""
        there = ray.cluster_resources()
        room = [int(there.get(name, 0) / need) for name, need in [("CPU", self._cpus), ("GPU", self._gpus)] if need > 0]
        return max(1, min(room) if self._most is None else self._most)

    def _start(self) -> None:
        worker = self._actor.remote(self._threads, os.getcwd())
        self._starting[worker.runs.remote()] = worker

    def run(
        self, tasks: Sequence[int], start: Callable[[Any, int], Any], finished: Callable[[int, Any], None]
    ) -> None:
        """Carries out tasks; each result is handed over as it comes. A worker that is lost is replaced, and its task repeated."""
        waiting = list(tasks)
        lost = dict.fromkeys(tasks, 0)
        never_ran = 0
        try:
            while waiting or self._busy:
                while waiting and self._free:
                    worker, task = self._free.pop(), waiting.pop(0)
                    self._busy[start(worker, task)] = (worker, task)
                if len(self._starting) < len(waiting) and len(self._starting) + len(self._busy) < self._room():
                    self._start()
                ready, _ = ray.wait([*self._busy, *self._starting], num_returns=1, timeout=1.0)
                for reference in ready:
                    if reference in self._starting:
                        worker = self._starting.pop(reference)
                        try:
                            ray.get(reference)
                            self._free.append(worker)
                        except RayError as error:
                            never_ran += 1
                            if never_ran > self._retries:
                                raise WorkError(
                                    f"no worker runs: {error}", "all nodes need the packages druse and ray, of one version"
                                ) from error
                        continue
                    worker, task = self._busy.pop(reference)
                    try:
                        result = ray.get(reference)
                    except RayTaskError as error:
                        raise _unpacked(error) from None
                    except RayError as error:
                        # The worker or its node is gone.
                        lost[task] += 1
                        if lost[task] > self._retries:
                            raise WorkError(
                                f"task {task} was lost with its worker {lost[task]} times: {error}",
                                "the same call continues with what is finished; more memory a worker, or more retries, may help",
                            ) from error
                        waiting.insert(0, task)
                        self._end(worker)
                        continue
                    finished(task, result)
                    self._free.append(worker)
        finally:
            for worker in [*self._starting.values(), *self._free, *(worker for worker, _ in self._busy.values())]:
                self._end(worker)
            self._starting, self._free, self._busy = {}, [], {}

    @staticmethod
    def _end(worker: Any) -> None:
        with contextlib.suppress(Exception):
            ray.kill(worker)


def _program(*arguments: str) -> None:
    """Runs a command of the program."""
    done = subprocess.run(
        [sys.executable, "-m", "druse", *arguments, "--quiet"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = done.stderr.strip().removeprefix("error: ")
        raise (InputError if done.returncode == 2 else WorkError)(words)


def _described(value: object) -> object:
    """What a job is told from another by: a value as it is, objects by their content."""
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, dict):
        return {str(key): _described(item) for key, item in sorted(value.items())}
    if isinstance(value, Model):
        return value.hash
    import pickle

    return hashlib.sha256(pickle.dumps(value)).hexdigest()


def _number_of_shards(shards: int | None, structures: int | None) -> int:
    if shards is None:
        return max(1, -(-structures // _SHARD)) if structures else 1
    if shards < 1:
        raise InputError(f"shards={shards}: at least one is needed")
    return shards


def _in_shards(
    command: str,
    positional: list[object],
    options: dict[str, Any],
    out: _Path,
    shards: int,
    pool: _Pool,
    progress: Callable[[int, int], object] | None,
    merging: Sequence[str] = (),
) -> None:
    """Does all shards of a command and puts them together in `out`."""
    whole = Path(out)
    folder = whole.with_name(whole.name + ".ray")
    parts = folder / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    job = {
        "command": command,
        "druse": __version__,
        "options": _described(options),
        "positional": [_described(value) for value in positional],
        "shards": shards,
    }
    with _locked(folder):
        description = folder / "job.json"
        text = json.dumps(job, indent=2, sort_keys=True) + "\n"
        if description.exists() and description.read_text() != text:
            raise InputError(
                f"`{folder}` holds shards of another call",
                "repeat the call that began it, or remove the folder, or choose another folder as out",
            )
        if not description.exists():
            if whole.exists() and any(whole.iterdir()):
                raise InputError(f"`{whole}` is there already", "choose another folder as out")
            description.write_text(text)
        names = [parts / str(i) for i in range(shards)]
        waiting = [i for i, name in enumerate(names) if not name.is_dir()]
        count = shards - len(waiting)

        def finished(task: int, files: dict[str, bytes]) -> None:
            nonlocal count
            _write_files(names[task], files)
            count += 1
            if progress is not None:
                progress(count, shards)

        if waiting:
            # Once into the object store, from where every worker takes it.
            given, arguments = ray.put(positional), ray.put(options)
            share = "{}/" + str(shards)
            pool.run(waiting, lambda w, task: w.shard.remote(command, share.format(task), given, arguments), finished)
        if not (folder / "merged").exists():
            # A merge that was interrupted is made anew: the shards are all there.
            if whole.exists():
                shutil.rmtree(whole)
            _program("merge", *map(os.fspath, names), "--out", os.fspath(whole), *merging)
            (folder / "merged").touch()


def _format(options: Mapping[str, Any]) -> list[str]:
    """The format of the whole is that of the shards."""
    return [] if options.get("format") is None else [f"--format={options['format']}"]


def _travelling(rows: str | list[Structure | Failure]) -> str | list[Structure | Failure]:
    """Rows that can be sent to workers."""
    if isinstance(rows, list) and any(isinstance(row, Failure) for row in rows):
        raise InputError("rows without a structure cannot be sent to workers", "give the path of the set")
    return rows


def _refused(options: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if name in options:
            raise InputError(f"`{name}` is not for a call in shards", "which see to it themselves")


def sample(
    formula: str | None = None,
    *,
    n: int,
    out: _Path,
    model: _Path | Model | None = None,
    shards: int | None = None,
    workers: int | None = None,
    cpus: float = 1,
    gpus: float = 0,
    resources: Mapping[str, float] | None = None,
    retries: int = 3,
    progress: Callable[[int, int], object] | None = None,
    **options: Any,
) -> Structures:
    """Samples into the folder `out` as `druse.sample` does, by the workers of a Ray cluster.

    `shards`: parts of the work (default: 500 structures each). `workers`: how many at a time (default: as many as the cluster has
    room for, also while nodes come and go); each takes `cpus`, `gpus` and `resources`, and its calls as many threads as it has
    cores. A shard that is lost with its worker is repeated, at most `retries` times. `progress` is called with the numbers of
    finished and of all shards. Other keywords are those of `druse.sample`.

    The same call continues what was interrupted; shards of other arguments or of another version are refused.
    """
    _refused(options, "shard", "resume", "threads", "callback")
    if isinstance(model, Model):
        # The file has to be there for a worker; the model that ships is part of the package.
        model = model.path
    given = {**options, "n": n, "model": model}
    if given.get("like") is not None:
        given["like"] = _travelling(_rows(given["like"], "like"))
    pool = _Pool(workers, cpus, gpus, resources, retries)
    shards = _number_of_shards(shards, n)
    _in_shards("sample", [formula], given, out, shards, pool, progress, _format(options))
    return read(out)


def relax(
    structures: object,
    *,
    out: _Path,
    potential: str = "sevennet",
    shards: int | None = None,
    workers: int | None = None,
    cpus: float = 1,
    gpus: float = 0,
    resources: Mapping[str, float] | None = None,
    retries: int = 3,
    progress: Callable[[int, int], object] | None = None,
    **options: Any,
) -> Structures:
    """Relaxes structures into the folder `out` as `druse.relax` does, by the workers of a Ray cluster; `sample` has the keywords."""
    _refused(options, "shard", "resume", "threads", "callback")
    rows = _travelling(_rows(structures, "structures"))
    pool = _Pool(workers, cpus, gpus, resources, retries)
    shards = _number_of_shards(shards, _count(rows) if shards is None else None)
    given = {**options, "potential": potential}
    _in_shards("relax", [rows], given, out, shards, pool, progress, _format(options))
    return read(out)


def screen(
    candidates: object,
    reference: object,
    *,
    out: _Path,
    shards: int | None = None,
    workers: int | None = None,
    cpus: float = 1,
    gpus: float = 0,
    resources: Mapping[str, float] | None = None,
    retries: int = 3,
    progress: Callable[[int, int], object] | None = None,
    **options: Any,
) -> Screening:
    """Screens candidates into the folder `out` as `druse.screen` does: the workers of a Ray cluster relax them, and this process
    computes the hull and ranks. `sample` has the keywords."""
    _refused(options, "shard", "resume", "threads", "callback")
    rows = _travelling(_rows(candidates, "candidates"))
    known = _travelling(_rows(reference, "reference"))
    pool = _Pool(workers, cpus, gpus, resources, retries)
    shards = _number_of_shards(shards, _count(rows) if shards is None else None)
    _in_shards("screen", [rows, known], dict(options), out, shards, pool, progress)
    return _screen(rows, known, out=out, resume=True, progress=False, **options)


def evaluate(
    generated: Mapping[str, object],
    reference: object,
    *,
    workers: int | None = None,
    cpus: float = 1,
    resources: Mapping[str, float] | None = None,
    retries: int = 3,
    progress: Callable[[int, int], object] | None = None,
    **options: Any,
) -> dict[str, Report]:
    """Evaluates several generated sets against one reference, a set a task: names and sets in, names and reports out.

    Keywords besides those of `sample` are those of `druse.evaluate`.
    """
    _refused(options, "threads", "callback")
    names = list(generated)
    sets = [_travelling(_rows(generated[name], "generated")) for name in names]
    if not names:
        return {}
    pool = _Pool(workers, cpus, 0, resources, retries)
    known, arguments = ray.put(_travelling(_rows(reference, "reference"))), ray.put(options)
    texts: dict[int, str] = {}

    def finished(task: int, text: str) -> None:
        texts[task] = text
        if progress is not None:
            progress(len(texts), len(names))

    pool.run(range(len(names)), lambda w, task: w.evaluation.remote(sets[task], known, arguments), finished)
    return {name: _report(texts[task], name) for task, name in enumerate(names)}


def _report(text: str, name: str) -> Report:
    handle = _evaluation(text, name)
    if handle is None:
        raise InternalError(f"a worker's evaluation of `{name}` cannot be read")
    return Report(handle)


def _count(rows: str | list[Any]) -> int:
    return len(rows) if isinstance(rows, list) else len(read(rows, progress=False).rows)
