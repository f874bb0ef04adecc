"""Exceptions. They have the words of the program's errors, and what to do as `hint`."""

from __future__ import annotations


class DruseError(Exception):
    """Whatever druse raises."""

    #: What was wrong.
    message: str
    #: What to do about it, where that can be told.
    hint: str | None

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"


class InputError(DruseError, ValueError):
    """Other arguments or other input put it right: what ends the program with exit code 2."""


class MissingPackage(DruseError, ImportError):
    """A package that is not installed is needed."""


class WorkError(DruseError, RuntimeError):
    """The machine refused, or the work failed: exit code 1."""


class ForkError(WorkError):
    """The process was forked after druse had begun to work."""


class Stopped(DruseError):
    """A callback stopped the work before there was a result: exit code 130."""


class InternalError(DruseError, RuntimeError):
    """A bug: exit code 101."""


class DruseWarning(UserWarning):
    """What the program would warn of."""
