"""The command `druse`: the program itself, in this process."""

from __future__ import annotations

import os
import signal
import sys

from ._druse import _command


def main() -> None:
    """Runs the program with the arguments of this process, and ends it with the program's exit code."""
    # Python would only take note of Ctrl-C; the program watches for it itself where it has something to save.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    code = _command(["druse", *sys.argv[1:]])
    # Nothing of Python's has to be put in order.
    os._exit(code)
