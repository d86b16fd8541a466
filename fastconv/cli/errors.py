"""The one exception that a command ends with: a line for stderr, exit status 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class CommandError(Exception):
    """Something that the user can put right; its text, on one line, is the whole message."""

    def __init__(self, message: object) -> None:
        super().__init__(" ".join(str(message).split()))


def missing_extra(package: str, purpose: str) -> CommandError:
    """Build the error for a package of the ``demo`` extra that is not installed."""
    return CommandError(f"{purpose} needs {package}, which is not installed: pip install 'fastconv[demo]'")


def need_matplotlib() -> None:
    """Raise a CommandError where pictures are wanted and cannot be drawn: before the work whose end they are."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise missing_extra("matplotlib", "drawing pictures (or say --no-pictures)") from error


@contextmanager
def reported(*kinds: type[Exception], about: object = "") -> Iterator[None]:
    """Turn errors of these kinds into a CommandError.

    Parameters
    ----------
    *kinds : type of Exception
        What to catch.
    about : object
        Put before the error's own text, unless that names it already.

    Examples
    --------
    >>> with reported(ValueError, about="digits.png"):
    ...     raise ValueError("no such colour")
    Traceback (most recent call last):
    ...
    fastconv.cli.errors.CommandError: digits.png: no such colour
    """
    try:
        yield
    except kinds as error:
        plain = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        raise CommandError(plain if str(about) in plain else f"{about}: {plain}") from error
