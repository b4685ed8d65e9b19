"""Help for error messages: what rule, what was given, what to do."""

import difflib
from collections.abc import Iterable


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """A sentence that names the closest of the `known` names, or all of them when none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=3, cutoff=0.55)
    if close:
        return "Did you mean " + " or ".join(f"`{name}`" for name in close) + "?"
    return "Known names: " + ", ".join(f"`{name}`" for name in names) + "."


def check_choice(field: str, given: str, known: Iterable[str]) -> None:
    """Raises `ValueError` unless `given` is one of the `known` names of `field`."""
    names = list(known)
    if given not in names:
        raise ValueError(f"`{field}` must be one of {names}, got {given!r}. {did_you_mean(str(given), names)}")


def check_flag(field: str, given: object) -> None:
    """Raises `TypeError` unless `given` is `True` or `False`."""
    if not isinstance(given, bool):
        raise TypeError(f"`{field}` must be `True` or `False`, got {given!r} of type `{type(given).__name__}`.")


def check_integer(field: str, given: object, minimum: int = 1) -> None:
    """Raises unless `given` is a Python integer of at least `minimum` (`TypeError` for the kind, else `ValueError`)."""
    if not isinstance(given, int) or isinstance(given, bool):
        raise TypeError(f"`{field}` must be an integer, got {given!r} of type `{type(given).__name__}`.")
    if given < minimum:
        raise ValueError(f"`{field}` must be at least {minimum}, got {given}.")


def check_number(field: str, given: object, low: float, high: float = float("inf"), *, open_low: bool = False) -> None:
    """Raises unless `given` is a finite number in `[low, high]` (or `(low, high]` with `open_low`)."""
    if not isinstance(given, int | float) or isinstance(given, bool):
        raise TypeError(f"`{field}` must be a number, got {given!r} of type `{type(given).__name__}`.")
    too_low = given <= low if open_low else given < low
    if too_low or given > high or given != given or given in (float("inf"), float("-inf")):
        left = "(" if open_low else "["
        raise ValueError(f"`{field}` must be a finite number in {left}{low:g}, {high:g}], got {given}.")
