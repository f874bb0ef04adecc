"""Progress, and what the program would say on its way."""

from __future__ import annotations

import sys
import time

from ._errors import DruseWarning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ._druse import Event

    _Callback = Callable[[Event], object]

#: Characters of a bar.
_WIDTH = 24
#: Seconds before a bar appears where nobody asked for one.
_PATIENCE = 0.5
#: Seconds between two pictures of it.
_EVERY = 0.1


def note(text: str) -> None:
    """A note of the program, to the log `druse`."""
    import logging

    logging.getLogger("druse").info("%s", text)


def warn(text: str) -> None:
    """A warning of the program, at the caller's line."""
    import os
    import warnings

    here, level, frame = os.path.dirname(__file__), 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(here):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, DruseWarning, stacklevel=level)


class Bar:
    """A bar on stderr, for a terminal or a notebook."""

    def __init__(self, what: str, patience: float) -> None:
        self._what = what
        self._since = time.monotonic()
        self._next = self._since + patience
        self._drawn = 0
        self._loss = ""
        self._epochs = 0.0

    def __call__(self, event: Event) -> None:
        """Takes note of an event."""
        done, total, text = event.done, event.total, event.text
        if event.kind == "started":
            self._epochs = total
            return
        if event.kind == "step":
            loss = event.values.get("loss")
            self._loss = f" loss {loss:.4f}" if isinstance(loss, float) else ""
            total, text = self._epochs, "training"
        elif event.kind != "progress":
            return
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _EVERY
        stage = text if text and text != "structures" else self._what
        if total > 0:
            share = min(done / total, 1.0)
            full = round(share * _WIDTH)
            left = (now - self._since) * (1 - share) / share if share > 0 else 0.0
            line = f"{stage} {'█' * full}{'░' * (_WIDTH - full)} {done:.0f}/{total:.0f}{self._loss} {left:.0f} s left"
        else:
            line = f"{stage} {done:.0f}" if done else stage
        sys.stderr.write("\r" + line.ljust(self._drawn))
        sys.stderr.flush()
        self._drawn = len(line)

    def close(self) -> None:
        """Takes the bar away."""
        if self._drawn:
            sys.stderr.write("\r" + " " * self._drawn + "\r")
            sys.stderr.flush()
            self._drawn = 0


def _watched() -> bool:
    """Whether somebody looks at stderr."""
    stream = sys.stderr
    return stream is not None and (stream.isatty() or "ipykernel" in sys.modules)


class Follow:
    """What follows a call: the callback, and a bar where one is wanted. As a context it takes the bar away at the end."""

    def __init__(self, what: str, callback: _Callback | None, progress: bool | None) -> None:
        shown = _watched() if progress is None else progress
        self._bar = Bar(what, _PATIENCE if progress is None else 0.0) if shown else None
        self._callback = callback

    def __enter__(self) -> _Callback | None:
        if self._bar is None:
            return self._callback
        return self._both

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def _both(self, event: Event) -> object:
        if self._bar is not None:
            self._bar(event)
        return None if self._callback is None else self._callback(event)
