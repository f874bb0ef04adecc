"""The package alone in an empty environment: no NumPy, no other package. A program, since pytest is not there either."""

import importlib.util
import os
import subprocess
import sys

#: Longest time of the processor that importing may take (s).
LONGEST_IMPORT = 0.2


def cost(code: str) -> float:
    """Time of the processor that a fresh interpreter takes (s), the least of five."""

    def one() -> float:
        before = os.times()
        subprocess.run([sys.executable, "-I", "-c", code], check=True)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    return min(one() for _ in range(5))


def main() -> None:
    for name in ("numpy", "ase", "pymatgen", "typing_extensions"):
        assert importlib.util.find_spec(name) is None, f"{name} is there"
    cost("import druse")
    took = cost("import druse") - cost("pass")
    print(f"-- importing takes {took * 1000:.0f} ms of the processor", file=sys.stderr)
    assert took < LONGEST_IMPORT, took

    import druse

    assert "druse._html" not in sys.modules and "druse._convert" not in sys.modules
    (salt,) = druse.sample("NaCl", n=1, seed=0)
    assert salt.reduced_formula == "NaCl" and len(salt) == 2
    assert isinstance(salt.lattice, druse.Array) and len(salt.lattice.tolist()) == 3
    assert [len(row) for row in salt.frac_coords] == [3, 3]
    assert list(salt.numbers) == [11, 17] and salt.numbers[-1] == 17
    try:
        salt.numbers[2]
        raise AssertionError("no IndexError")
    except IndexError:
        pass
    assert "<svg" in salt._repr_html_()
    assert druse.match(salt, salt)
    try:
        salt.to_ase()
        raise AssertionError("ASE is there")
    except druse.MissingPackage as error:
        assert "pip install ase" in str(error)
    same = subprocess.run([sys.executable, "-m", "druse", "--version"], check=True, capture_output=True, text=True)
    assert same.stdout.strip() == f"druse {druse.__version__}", same.stdout


if __name__ == "__main__":
    main()
