#!/usr/bin/env bash
# Builds the wheel, installs it into an empty virtual environment and tests it there. Exit code 77: it cannot be tested here
# (no Python from 3.10 on, or no package index), and nothing was found wrong. Settings:
#   PYTHON           the interpreter (default: the newest of python3.13 … python3)
#   DRUSE_WHEEL      a wheel that is there already, in place of one that is built
#   DRUSE_REAL       when set, the real pymatgen is installed, too, with all that it and ASE need (700 MB); without, tests have
#                    stand-ins for pymatgen, and ASE's own code
#   DRUSE_RAY        `none` leaves out Ray (80 MB), which is installed otherwise where the package index has it
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd .. && pwd)

largest_wheel=$((40 * 1000 * 1000))
say() { printf -- '-- %s\n' "$*" >&2; }
cannot() {
    say "not tested: $*"
    exit 77
}

python=${PYTHON:-}
for candidate in python3.14 python3.13 python3.12 python3.11 python3.10 python3; do
    [ -z "$python" ] || break
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
        python=$candidate
    fi
done
[ -n "$python" ] || cannot "there is no Python from 3.10 on with the module venv (Debian: python3-venv)"

target=${CARGO_TARGET_DIR:-$root/target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# An index that does not answer at once may do so a little later.
install() {
    local pip=$1 tries=0
    shift
    until "$pip" install --quiet --disable-pip-version-check --no-input "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 3 ] || return 1
        sleep $((tries * 5))
    done
}

# The tools are kept for the next time.
tools=$target/python-tools-$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if [ ! -f "$tools/ready" ]; then
    say "tools"
    rm -rf "$tools"
    "$python" -m venv "$tools"
    install "$tools/bin/pip" 'maturin>=1.9,<2' 'mypy>=1.11' 'pytest>=8' 'numpy' ||
        cannot "the package index does not answer"
    # What is used of ASE needs NumPy alone.
    install "$tools/bin/pip" --no-deps 'ase>=3.23' || cannot "the package index does not answer"
    touch "$tools/ready"
fi

if [ "${DRUSE_RAY:-}" != none ] && [ ! -f "$tools/ray" ]; then
    say "Ray"
    if install "$tools/bin/pip" --only-binary :all: 'ray>=2.40'; then
        touch "$tools/ray"
    else
        say "not tested: druse.ray, since Ray cannot be installed here"
    fi
fi

wheel=${DRUSE_WHEEL:-}
if [ -z "$wheel" ]; then
    say "wheel"
    # The cargo that maturin finds is the one beside this script.
    DRUSE_CARGO=$(command -v cargo) CARGO="$PWD/cargo" PATH="$PWD:$PATH" "$tools/bin/maturin" build --release --quiet \
        --compatibility linux --out "$work/wheels" --interpreter "$python"
    wheel=$(ls "$work"/wheels/*.whl)
fi
size=$(wc -c <"$wheel")
say "$(basename "$wheel"): $size bytes"
[ "$size" -lt "$largest_wheel" ] || { say "the wheel is larger than $largest_wheel bytes"; exit 1; }

say "into an empty environment"
begun=$(date +%s%N)
"$python" -m venv "$work/empty"
install "$work/empty/bin/pip" --no-index "$wheel"
cd "$work"
"$work/empty/bin/python" -c 'import druse; druse.sample("LiFeO2", n=1)'
say "an environment, the package and a first structure: $((($(date +%s%N) - begun) / 1000000)) ms"
others=$("$work/empty/bin/pip" list --format freeze --disable-pip-version-check | grep -vE '^(druse|pip|setuptools|wheel)[=@ ]' || true)
[ -z "$others" ] || { say "the package brings others along: $others"; exit 1; }
"$work/empty/bin/python" "$root/python/tests/plain.py"
"$work/empty/bin/druse" --version

say "tests"
"$python" -m venv "$work/full"
# What the tools' environment has is seen without being installed again.
"$tools/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
    >"$("$work/full/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tools.pth"
install "$work/full/bin/pip" --no-index --no-deps "$wheel"
if [ -n "${DRUSE_REAL:-}" ]; then
    say "the real pymatgen and ASE"
    install "$work/full/bin/pip" --only-binary :all: ase pymatgen
fi
"$work/full/bin/python" -m pytest --import-mode=importlib -p no:cacheprovider -c "$root/python/pyproject.toml" \
    --rootdir "$work" "$root/python/tests"
# What notebooks show, for the tests in a browser.
"$work/full/bin/python" "$root/python/tests/notebook.py" "$target/notebook.html"

say "types"
"$work/full/bin/python" -m mypy --config-file "$root/python/pyproject.toml" --cache-dir "$work/mypy" -p druse
"$work/full/bin/python" -m mypy --config-file "$root/python/pyproject.toml" --cache-dir "$work/mypy" "$root/python/tests/typed.py"
MYPY_CACHE_DIR=$work/mypy "$work/full/bin/python" -m mypy.stubtest druse --mypy-config-file "$root/python/pyproject.toml" \
    --allowlist "$root/python/tests/stubtest.txt" --ignore-unused-allowlist
say "the package is fine"
