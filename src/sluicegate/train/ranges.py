"""Ranges of the numbers in a recipe."""

from collections.abc import Collection

from sluicegate.errors import InputError


def at_least(name: str, value: float, least: float) -> None:
    """Refuse a value that is below the least.

    Raises:
        InputError: it is.
    """
    if not value >= least:
        raise InputError(f"{name}: {value} is below {least}")


def positive(name: str, value: float) -> None:
    """Refuse a value that is not above 0.

    Raises:
        InputError: it is not.
    """
    if not value > 0:
        raise InputError(f"{name}: {value} is not above 0")


def one_of(name: str, value: str, known: Collection[str]) -> None:
    """Refuse a value that is not in a list.

    Raises:
        InputError: it is not.
    """
    if value not in known:
        raise InputError(f"{name}: {value!r} must be one of {', '.join(known)}")
