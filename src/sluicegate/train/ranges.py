"""Ranges of the numbers in a recipe."""

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
