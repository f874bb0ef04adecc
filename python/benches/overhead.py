"""How much longer a call from Python takes than the command: `python overhead.py [STRUCTURES] [ROUNDS]`.

The same request, seed and thread count, alternately by `druse sample` (the program that `DRUSE_BIN` names, or the command of
the package) and by `druse.sample`, each in a process of its own whose start counts; the structures are compared byte for byte.
The command writes them to a file, and so does the call. Medians of the time of the processor and by the clock.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

import druse

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
REQUEST = {"formula": "Li4Fe4O8", "n": COUNT, "seed": 0, "threads": 1, "settings": {"begin": "anywhere"}}
WORDS = ["--formula=Li4Fe4O8", f"--count={COUNT}", "--seed=0", "--threads=1", "--set=begin=anywhere", "--format=jsonl"]


def by_command(out: str) -> None:
    program = [os.environ["DRUSE_BIN"]] if "DRUSE_BIN" in os.environ else [sys.executable, "-m", "druse"]
    subprocess.run([*program, "sample", *WORDS, f"--out={out}"], check=True, capture_output=True)


def by_call(out: str) -> None:
    code = f"import druse; druse.sample(out={out!r}, format='jsonl', progress=False, **{REQUEST!r})"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def times(work, out: str) -> tuple[float, float]:
    before, begun = os.times(), time.perf_counter()
    work(out)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu, time.perf_counter() - begun


def main() -> None:
    took: dict[str, list[tuple[float, float]]] = {"command": [], "call": []}
    with tempfile.TemporaryDirectory() as folder:
        for i in range(ROUNDS):
            for name, work in (("command", by_command), ("call", by_call)):
                took[name].append(times(work, f"{folder}/{name}{i}"))
        first, second = (open(f"{folder}/{name}0/structures.jsonl", "rb").read() for name in took)
    medians = {name: [statistics.median(t[k] for t in times_) for k in (0, 1)] for name, times_ in took.items()}
    for name, (cpu, wall) in medians.items():
        print(f"{name:8} {cpu:8.3f} s of the processor {wall:8.3f} s by the clock")
    ratio = [medians["call"][k] / medians["command"][k] - 1 for k in (0, 1)]
    print(f"overhead {100 * ratio[0]:+7.1f} %                {100 * ratio[1]:+7.1f} %; same bytes: {first == second}")
    print(f"druse {druse.__version__}, {COUNT} structures, median of {ROUNDS}")


if __name__ == "__main__":
    main()
