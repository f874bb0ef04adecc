"""The functions against the program: same results, same words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from common import GEMSDIFF, rock_salt

import druse

REPOSITORY = Path(__file__).resolve().parents[2]


def files(folder: Path, ending: str) -> dict[str, str]:
    found = (path for path in sorted(folder.glob(f"*{ending}")) if not path.name.startswith("."))
    return {path.name: path.read_text() for path in found}


def test_same_seed_same_structures_as_the_program(tmp_path, program):
    options = ["--model", str(GEMSDIFF), "--formula", "LiFeO2", "--count", "3", "--seed", "7"]
    program(tmp_path, "sample", *options, "--out", "theirs")
    ours = druse.sample("LiFeO2", n=3, seed=7, model=GEMSDIFF)
    theirs = files(tmp_path / "theirs", ".cif")
    assert {f"{c.properties['index']:06}-{c.reduced_formula}.cif": c.to_cif() for c in ours} == theirs
    assert len(theirs) == 3
    for line, crystal in zip((tmp_path / "theirs/structures.jsonl").read_text().splitlines(), ours, strict=True):
        record = json.loads(line)
        assert record["structure"]["frac_coords"] == crystal.frac_coords.tolist()
        assert record["structure"]["lattice"] == crystal.lattice.tolist()
        assert record["properties"] == crystal.properties and record["id"] == crystal.id
    # Into a folder it is the program's, too; what is read of it is what was sampled.
    written = druse.sample("LiFeO2", n=3, seed=7, model=GEMSDIFF, out=tmp_path / "ours", threads=1)
    assert files(tmp_path / "ours", "") == files(tmp_path / "theirs", "")
    assert list(written) == list(ours)
    assert list(druse.read(tmp_path / "ours")) == list(ours)
    assert list(druse.sample("LiFeO2", n=3, seed=8, model=GEMSDIFF)) != list(ours)


def test_symmetric_cifs_are_the_programs(tmp_path, program):
    model = REPOSITORY / "models/substitute-mp-20.safetensors"
    if not model.exists():
        pytest.skip("the model is not there")
    options = ["--model", str(model), "--formula", "SrTiO3", "--count", "2"]
    program(tmp_path, "sample", *options, "--out", "theirs")
    loaded = druse.load_model(model)
    assert loaded.kind == "substitute" and Path(loaded.path) == model
    ours = loaded.sample("SrTiO3", n=2)
    assert [c.to_cif() for c in ours] == list(files(tmp_path / "theirs", ".cif").values())


def test_space_groups_have_numbers_and_symbols():
    [by_number] = druse.sample("NaCl", space_group=225, n=1)
    [by_symbol] = druse.sample("NaCl", space_group="Fm-3m", n=1)
    assert by_symbol == by_number and by_symbol.space_group() == (225, "Fm-3m")
    with pytest.raises(druse.InputError, match="Fm-3q.*Hermann"):
        druse.sample("NaCl", space_group="Fm-3q")


def test_words_of_errors_are_those_of_the_program(tmp_path, program):
    def both(arguments: list[str], call) -> druse.DruseError:
        done = program(tmp_path, *arguments, code=2)
        with pytest.raises(druse.InputError) as caught:
            call()
        message = done.stderr.split("\n\n")[0].removeprefix("error: ")
        told = "error: " + caught.value.message
        assert told.splitlines()[0] in done.stderr, (told, done.stderr)
        if caught.value.hint is not None:
            assert f"hint: {caught.value.hint}" in done.stderr
        assert message
        return caught.value

    out = ["--out", "never"]
    error = both(["sample", "--formula", "Xx2", *out], lambda: druse.sample("Xx2"))
    assert error.hint == "write the atoms of one cell, such as LiFeO2 or Ca2(OH)4"
    told = ["--model", str(GEMSDIFF), *out]
    both(["sample", *told], lambda: druse.sample(model=GEMSDIFF))
    both(["sample", "--space-group", "225", *told], lambda: druse.sample(space_group=225, model=GEMSDIFF))
    both(["sample", "--formula", "NaCl", "--atoms", "3", *out], lambda: druse.sample("NaCl", atoms=3))
    templates = ["--formula", "NaCl", "--templates-only", *told]
    both(["sample", *templates], lambda: druse.sample("NaCl", templates_only=True, model=GEMSDIFF))
    other = ["--model", str(GEMSDIFF), "--formula", "NaCl", "--space-group", "225", *out]
    both(["sample", *other], lambda: druse.sample("NaCl", space_group=225, model=GEMSDIFF))
    both(["sample", "--formula", "NaCl", "--space-group", "0", *out], lambda: druse.sample("NaCl", space_group=0))
    both(["sample", "--model", "none", "--formula", "NaCl", *out], lambda: druse.sample("NaCl", model="none"))
    both(["sample", "--formula", "NaCl", "--set", "x=1", *out], lambda: druse.sample("NaCl", settings={"x": 1}))
    both(["featurize", "nothing", "--features", "validity"], lambda: druse.featurize("nothing"))
    both(["featurize", "nothing", "--features", "beauty"], lambda: druse.featurize("nothing", "beauty"))
    both(["evaluate", "a", "--reference", "b", "--task", "x"], lambda: druse.evaluate("a", "b", task="x"))
    both(["evaluate", "a", "--reference", "b", "--symprec=0.0"], lambda: druse.evaluate("a", "b", symprec=0.0))
    both(["relax", "nothing", "--fmax=-1.0", *out], lambda: druse.relax("nothing", fmax=-1.0))
    both(["relax", "nothing", "--potential", "p", *out], lambda: druse.relax("nothing", potential="p"))


def test_evaluations_are_those_of_the_program(tmp_path, program, salts):
    generated = [rock_salt("Li", "F", 4.1), rock_salt("Na", "Cl", 5.7), rock_salt("Mg", "O", 0.8)]
    druse.write(generated, tmp_path / "generated.jsonl")
    druse.write(salts, tmp_path / "reference.jsonl")
    done = program(tmp_path, "evaluate", "generated.jsonl", "--reference", "reference.jsonl", "--json", "--bootstrap", "10", "--no-cache")
    theirs = json.loads(done.stdout)
    paths = druse.evaluate(tmp_path / "generated.jsonl", tmp_path / "reference.jsonl", bootstrap=10, cache=False)
    memory = druse.evaluate(generated, salts, bootstrap=10, cache=False)
    for report in (paths, memory):
        assert report.metrics == theirs["metrics"]
        assert report.figures == theirs["figures"]
        assert report["valid"] == pytest.approx(2 / 3)
        assert [row["index"] for row in report.invalid] == [2]
    with pytest.raises(KeyError, match="cov_recall"):
        memory["beauty"]
    memory.save(tmp_path / "report.html")
    memory.save(tmp_path / "report.json")
    assert "<html" in (tmp_path / "report.html").read_text()
    again = druse.Report.from_file(tmp_path / "report.json")
    assert again.to_dict() == memory.to_dict() and str(again) == memory.table()
    with pytest.raises(druse.InputError, match="no evaluation"):
        druse.Report.from_file(tmp_path / "generated.jsonl")


def test_failures_count_as_rows(salts):
    import numpy as np

    rows = druse.Structures([salts[0], salts[1]])
    assert rows.failures == [] and len(rows) == 2
    table = "id,cif\na,nonsense\nb," + '"' + salts[1].to_cif() + '"\n'
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_text(table)
        found = druse.read(path)
    assert len(found) == 1 and [f.id for f in found.failures] == ["a"] and len(found.rows) == 2
    report = druse.evaluate(found, salts, bootstrap=0, symmetry=False, cache=False)
    assert report["valid"] == pytest.approx(0.5)
    assert np.isfinite(report["valid"])


def test_matches_and_features():
    salt = rock_salt()
    doubled = salt.conventional()
    found = druse.match(salt, doubled)
    assert found and found.fit and found.rms == pytest.approx(0, abs=1e-6) and not found.unfinished
    assert not druse.match(salt, rock_salt("K", "Br"))
    assert not druse.match(salt, rock_salt(edge=7.2), scale=False)
    with pytest.raises(druse.InputError, match="expected a positive number"):
        druse.match(salt, salt, ltol=-1.0)
    (row,) = druse.featurize(salt, ["crystalnn", "validity", "symmetry"])
    assert row["symmetry"]["symprec_0.01"]["international"] == "Fm-3m"
    assert row["validity"]["valid"] and [site["cn"] for site in row["crystalnn"]["sites"]] == [6, 6]


def test_relaxations_are_those_of_the_program(tmp_path, program):
    druse.write([rock_salt(edge=6.0), rock_salt("Mg", "O", 4.4)], tmp_path / "start.jsonl")
    program(tmp_path, "relax", "start.jsonl", "--potential", "spheres", "--fmax", "0.01", "--out", "theirs")
    ours = druse.relax(tmp_path / "start.jsonl", potential="spheres", fmax=0.01)
    lines = [json.loads(line) for line in (tmp_path / "theirs/structures.jsonl").read_text().splitlines()]
    assert [line["structure"]["lattice"] for line in lines] == [c.lattice.tolist() for c in ours]
    assert [line["properties"] for line in lines] == [c.properties for c in ours]
    assert all(c.properties["relax_converged"] for c in ours)
    potential = druse.load_potential("spheres")
    again = druse.relax(tmp_path / "start.jsonl", potential=potential, fmax=0.01, out=tmp_path / "ours")
    assert list(again) == list(ours)
    assert (tmp_path / "ours/relaxed.csv").read_text() == (tmp_path / "theirs/relaxed.csv").read_text()
    (energy,) = potential.evaluate([ours[0]])
    assert energy["energy"] == pytest.approx(ours[0].properties["relax_energy"])


def entries() -> list[druse.Structure]:
    iron = druse.Structure([[2.87, 0, 0], [0, 2.87, 0], [0, 0, 2.87]], ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    oxide = rock_salt("Fe", "O", 4.33)
    oxygen = druse.Structure([[4, 0, 0], [0, 4, 0], [0, 0, 4]], ["O", "O"], [[0, 0, 0], [0.3, 0, 0]])
    energies = [("iron", iron, 0.0), ("oxygen", oxygen, 0.0), ("oxide", oxide, -1.5), ("worse", oxide, -1.2)]
    return [s.with_properties({"formation_energy_per_atom": e}, id=name) for name, s, e in energies]


def test_hulls():
    found = druse.hull(entries(), query=[rock_salt("Fe", "O", 4.4).with_properties({"formation_energy_per_atom": -1.4})], system="Fe-O")
    above = {row["id"]: row["e_above_hull"] for row in found.entries}
    assert above["worse"] == pytest.approx(0.3) and above["oxide"] == pytest.approx(0)
    assert [row["e_above_hull"] for row in found.query] == [pytest.approx(0.1)]
    assert {"iron", "oxygen", "oxide"} <= {row["id"] for row in found.stable} and above["worse"] > 0
    assert found.system is not None and found.remarks
    with pytest.raises(druse.InputError) as caught:
        druse.hull([rock_salt()])
    assert caught.value.hint == "--energy names the column of the entries, --query-energy that of the queries"


def test_screens(tmp_path):
    candidates = [rock_salt("Fe", "O", 4.3), rock_salt("Fe", "O", 4.31), rock_salt("Fe", "O", 0.7)]
    found = druse.screen(candidates, entries(), potential="spheres", fmax=0.1, steps=100)
    assert found.path is None and len(found.rows) == 3
    fell = [row["fell"]["gate"] for row in found.rows if row["fell"]]
    assert sorted(fell) == ["duplicate", "validity"] and found.funnel["ranked"] == 1
    (best,) = found.ranked
    assert best.properties["rank"] == 1 and best.reduced_formula == "FeO"
    again = druse.screen(candidates, entries(), potential="spheres", fmax=0.1, steps=100, out=tmp_path / "kept")
    assert list(again.ranked) == [best] and (tmp_path / "kept/screen.csv").exists()


SMALL = {
    "model.decoder": {"hidden": 16, "triplet": 4, "bilinear": 8, "lattice_head": 8, "num_radial": 16, "num_spherical": 3, "blocks": 1},
    "model.encoder": {"hidden": 16, "triplet": 4, "bilinear": 8, "lattice_head": 8, "num_radial": 16, "num_spherical": 3, "blocks": 1},
    "model.latent": 8,
    "model.knn": 6,
    "model.steps": 10,
    "data.validation_share": 0.0,
    "train.batch_size": 3,
    "train.epochs": 2,
}


def test_training_tells_its_steps_and_gives_a_model(tmp_path, salts):
    seen = []
    run = druse.train(salts, tmp_path / "run", preset="gemsdiff-small", settings=SMALL, callback=lambda e: seen.append(e))
    assert (run.ending, run.epoch, run.step) == ("finished", 2, 4)
    steps = [event for event in seen if event.kind == "step"]
    assert [event.values["step"] for event in steps] == [1, 2, 3, 4]
    assert all(event.values["loss"] > 0 for event in steps)
    kinds = {event.kind for event in seen}
    assert {"started", "step", "epoch", "saved"} <= kinds
    assert [m["kind"] for m in run.metrics()].count("epoch") == 2
    model = run.model()
    assert model.kind == "gemsdiff" and len(model.sample("NaCl", n=1)) == 1
    with pytest.raises(druse.InputError, match="already holds a training run"):
        druse.train(salts, tmp_path / "run", preset="gemsdiff-small", settings=SMALL)
    # Stopped after the first step, and continued: the same model.
    stopped = druse.train(salts, tmp_path / "two", preset="gemsdiff-small", settings=SMALL, callback=lambda e: e.kind != "step")
    assert stopped.ending == "interrupted" and stopped.step < 4
    again = druse.train(out=tmp_path / "two", resume=True)
    assert again.ending == "finished" and again.model().sample("NaCl", n=1)[0] == model.sample("NaCl", n=1)[0]
    # Two processes have the same numbers, too.
    both = druse.train(salts, tmp_path / "both", preset="gemsdiff-small", settings=SMALL, processes=2)
    assert [m["loss"] for m in both.metrics() if m["kind"] == "step"] == [event.values["loss"] for event in steps]
    with pytest.raises(druse.InputError):
        druse.predict(salts, model)
    with pytest.raises(druse.InputError, match="no folder"):
        druse.train(salts)


def test_reconstructions():
    model = REPOSITORY / "models/cdvae-small-carbon-24.safetensors"
    if not model.exists():
        pytest.skip("the model is not there")
    diamond = druse.Structure([[0, 1.78, 1.78], [1.78, 0, 1.78], [1.78, 1.78, 0]], ["C", "C"], [[0, 0, 0], [0.25, 0.25, 0.25]])
    # The dynamics are long; what counts here is that it stops when it is told to.
    found = druse.reconstruct([diamond], model, evaluation=False, callback=lambda e: e.kind != "progress")
    assert found.report is None and found.structures.interrupted
    with pytest.raises(druse.InputError, match="latent|Autoencoder"):
        druse.reconstruct([diamond], druse.load_model())


def test_a_model_of_another_version_is_told(tmp_path):
    path = tmp_path / "old.safetensors"
    header = json.dumps({"__metadata__": {"format": "99"}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(druse.InputError):
        druse.load_model(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(druse.InputError, match="old.safetensors"):
        druse.load_model(path)
