"""What the tests share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import druse

sys.path.insert(0, str(Path(__file__).parent))

from common import SALTS, rock_salt  # noqa: E402

@pytest.fixture
def salts() -> list[druse.Structure]:
    """Six salts."""
    return [rock_salt(*salt) for salt in SALTS]


@pytest.fixture
def program():
    """The command `druse` of this environment, in a folder."""
    path = Path(sys.executable).parent / "druse"

    def run(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([str(path), *arguments], cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run
