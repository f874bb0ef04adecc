"""Work on a Ray cluster: two nodes on this machine, by Ray's own simulation. Skipped where Ray is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from common import GEMSDIFF, rock_salt

import druse

ray = pytest.importorskip("ray")

import druse.ray  # noqa: E402

# Those are Ray's own.
pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning"), pytest.mark.filterwarnings("ignore::FutureWarning")]


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two nodes with a core each, the driver's and another."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def draw(out: Path, **more: object) -> druse.Structures:
    return druse.ray.sample("NaCl", n=12, seed=3, model=GEMSDIFF, out=out, shards=6, **more)


def test_a_node_is_lost_and_the_output_is_that_of_one_process(cluster, tmp_path):
    alone = druse.sample("NaCl", n=12, seed=3, model=GEMSDIFF, out=tmp_path / "alone", progress=False)
    other = cluster.add_node(num_cpus=1)
    lost = False

    def progress(done: int, all_: int) -> None:
        nonlocal lost
        if not lost:
            # As if its plug were pulled, with a shard in flight.
            cluster.remove_node(other, allow_graceful=False)
            lost = True

    made = draw(tmp_path / "many", progress=progress)
    assert lost and list(made) == list(alone)
    assert contents(tmp_path / "many") == contents(tmp_path / "alone")


def test_a_driver_that_died_continues_with_what_is_finished(cluster, tmp_path):
    class Died(Exception):
        pass

    def die(done: int, all_: int) -> None:
        if done == 2:
            raise Died

    with pytest.raises(Died):
        draw(tmp_path / "out", progress=die)
    parts = tmp_path / "out.ray/parts"
    finished = {part.name: part.stat().st_mtime_ns for part in parts.iterdir()}
    assert len(finished) == 2 and not (tmp_path / "out").exists()
    told: list[int] = []
    draw(tmp_path / "out", progress=lambda done, all_: told.append(done))
    assert told == [3, 4, 5, 6]
    assert all(parts.joinpath(name).stat().st_mtime_ns == then for name, then in finished.items())
    druse.sample("NaCl", n=12, seed=3, model=GEMSDIFF, out=tmp_path / "alone", progress=False)
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")
    # What is whole is not made again, and another call does not get its shards.
    told.clear()
    assert len(draw(tmp_path / "out", progress=lambda done, all_: told.append(done))) == 12 and told == []
    with pytest.raises(druse.InputError, match="another call"):
        druse.ray.sample("NaCl", n=12, seed=4, model=GEMSDIFF, out=tmp_path / "out", shards=6)


def test_relaxation_and_screening_are_those_of_one_process(cluster, tmp_path, salts):
    salts[0].write(tmp_path / "one.cif")
    druse.write(salts, tmp_path / "salts.jsonl")
    settings = {"potential": "spheres", "fmax": 0.05, "steps": 20}
    druse.relax(tmp_path / "salts.jsonl", out=tmp_path / "alone", progress=False, **settings)
    relaxed = druse.ray.relax(tmp_path / "salts.jsonl", out=tmp_path / "many", shards=3, **settings)
    assert len(relaxed.rows) == len(salts)
    assert contents(tmp_path / "many") == contents(tmp_path / "alone")

    reference = [rock_salt(edge=5.7), rock_salt("K", "Br", 6.5)]
    druse.write(reference, tmp_path / "known.jsonl")
    paths = (tmp_path / "salts.jsonl", tmp_path / "known.jsonl")
    alone = druse.screen(*paths, out=tmp_path / "s1", progress=False, **settings)
    many = druse.ray.screen(*paths, out=tmp_path / "s2", shards=3, **settings)
    assert [row["id"] for row in many.rows] == [row["id"] for row in alone.rows]
    assert (tmp_path / "s2/screen.csv").read_bytes() == (tmp_path / "s1/screen.csv").read_bytes()


def test_evaluations_come_with_their_names(cluster, salts):
    reports = druse.ray.evaluate({"a": salts[:4], "b": salts[2:]}, salts, bootstrap=0, symmetry=False)
    alone = druse.evaluate(salts[2:], salts, bootstrap=0, symmetry=False, progress=False)
    assert list(reports) == ["a", "b"] and reports["b"].metrics == alone.metrics


def test_errors_of_workers_are_those_of_druse(cluster, tmp_path):
    with pytest.raises(druse.InputError, match="Xx|element"):
        druse.ray.sample("Xx2", n=2, out=tmp_path / "out")
    with pytest.raises(druse.InputError, match="shards"):
        druse.ray.sample("NaCl", n=2, out=tmp_path / "none", shards=0)
    with pytest.raises(druse.InputError, match="resume"):
        druse.ray.sample("NaCl", n=2, out=tmp_path / "none", resume=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(druse.InputError, match="is there already"):
        druse.ray.sample("NaCl", n=2, out=tmp_path / "full")


def test_two_drivers_do_not_share_a_folder(cluster, tmp_path):
    def second(done: int, all_: int) -> None:
        with pytest.raises(druse.InputError, match="another process"):
            draw(tmp_path / "out")

    draw(tmp_path / "out", progress=second)
