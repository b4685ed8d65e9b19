"""Parts by name: what configs, files and the command line call a loss, an energy, an agent, an environment.

A part's kind is its topmost base class whose name begins with `Abstract`, or the class itself where it has none. Names are
told apart within a kind.
"""

import functools as ft
import re
from collections.abc import Callable
from typing import Any, TypeVar

from ._errors import did_you_mean


T = TypeVar("T")
Maker = Callable[..., Any]
M = TypeVar("M", bound=Callable[..., Any])

_NAMED: dict[str, dict[str, Maker]] = {}  # by kind: what users name
_WRITTEN: dict[str, dict[str, type]] = {}  # by kind: classes by their own names, as files may have them too
_ENVIRONMENT = "AbstractGoalEnv"


def register(part: M, name: str | None = None) -> M:
    """Gives a part of your own a name: a class of a loss, an energy, a replay rule, an agent, an optimiser, a part of a
    network or an environment, or a function that makes an environment. Configs that hold it can then be written to files
    and read back, runs with it resumed and exported, and the command line knows its name.

    ```python
    deepcrl.register(MyLoss)  # or `@deepcrl.register` above the class
    deepcrl.register(Pendulum, "pendulum")
    ```

    **Arguments:**

    - `part`: a frozen dataclass or an `eqx.Module`; it is written as its name and its fields. An environment may also be
      any function that returns one, with a name; then the name and `env_options` are what is written. A function with
      another kind of part for its return annotation, or a `functools.partial` of a class, gives settings a name.
    - `name`: by default the name of the class.

    **Returns:** `part`.

    **Raises:** `ValueError` if another part of the same kind has that name: results are told by names. `TypeError` for
    what is neither a class nor a function.
    """
    if not callable(part) or (name is not None and not isinstance(name, str)):
        raise TypeError(f"`register` takes a class and then its name, as `register(MyLoss, 'my_loss')`; got {part!r}.")
    if not isinstance(part, type) and _is_object_of_a_part(part):
        raise TypeError(f"`register` takes the class, `register({type(part).__name__})`, not an instance: {part!r}.")
    if name is None and not isinstance(part, type):
        raise TypeError(f"A function needs a name: `register({getattr(part, '__name__', 'make')}, 'my_env')`.")
    kind = kind_of(_made_by(part))
    names = _NAMED.setdefault(kind, {})
    name = part.__name__ if name is None else name  # pyright: ignore[reportAttributeAccessIssue]
    taken = names.get(name)
    if taken is not None and not _is_redefinition(taken, part):
        raise ValueError(f"{_article(kind)} named {name!r} exists already. Choose another name: `register(..., name)`.")
    names[name] = part
    if isinstance(part, type):
        register_class(part)
    return part  # pyright: ignore[reportReturnType]


def register_class(part: type[T]) -> type[T]:
    """Makes a class readable by its own name alone, which is not among the names that users are shown."""
    _WRITTEN.setdefault(kind_of(part), {})[part.__name__] = part
    return part


def registered(base: type) -> dict[str, Maker]:
    """The parts of a kind by name, in the order of their registration; `base` is the abstract class.

    ```python
    deepcrl.registered(deepcrl.losses.AbstractEnergy)["dot"]  # deepcrl.losses.DotEnergy
    ```
    """
    return dict(_NAMED.get(kind_of(base), {}))


def kind_of(part: type) -> str:
    """The kind of a class."""
    return next(
        (base.__name__ for base in reversed(part.__mro__) if base.__name__.startswith("Abstract")), part.__name__
    )


def name_of(field: str, part: type) -> str:
    """The name that a class is written by. **Raises** `ValueError` for one that is not registered."""
    kind = kind_of(part)
    for name, maker in _NAMED.get(kind, {}).items():
        if maker is part:
            return name
    if _WRITTEN.get(kind, {}).get(part.__name__) is part:
        return part.__name__
    raise ValueError(
        f"`{field}` holds a `{part.__name__}`, which has no name to be written by. Register its class first: "
        f"`deepcrl.register({part.__name__})`."
    )


def part_named(field: str, base: type[T] | None, name: str) -> Callable[..., T]:
    """The class or function of that name, among the kind of `base` or, without, among all. **Raises** `ValueError` for a
    name that is not registered."""
    kinds = _NAMED.keys() | _WRITTEN.keys() if base is None else {kind_of(base)}
    for kind in kinds:
        for known in (_NAMED, _WRITTEN):
            if name in known.get(kind, {}):
                return known[kind][name]
    what = "part" if base is None else _word(kind_of(base))
    names = [name for kind in kinds for name in _NAMED.get(kind, {})]
    own = name if name.isidentifier() else "MyPart"
    raise ValueError(
        f"`{field}` must name a known {what}, got {name!r}. {did_you_mean(name, names)} One of your own must be registered "
        f"before it is named: `deepcrl.register({own})`, or `--import MODULE` on the command line."
    )


def as_part(field: str, base: type[T], given: Any) -> T:
    """A part that is given as an object or by its name.

    **Raises:** `ValueError` for an unknown name, `TypeError` for what is no part of that kind.
    """
    if isinstance(given, base):
        return given
    if isinstance(given, str):
        return part_named(field, base, given)()
    example = next((part for part in registered(base).values() if isinstance(part, type)), base).__name__
    if isinstance(given, type) and issubclass(given, base):
        raise TypeError(f"`{field}` must be an instance, `{given.__name__}()`; got the class `{given.__name__}`.")
    raise TypeError(
        f"`{field}` must be {_article(kind_of(base)).lower()}, such as `{example}()`, or a name; got {given!r}."
    )


def _made_by(part: Maker) -> type:
    """What a class, a partial of one, or a function makes; a function that does not say so makes an environment."""
    if isinstance(part, type):
        return part
    if isinstance(part, ft.partial):
        return _made_by(part.func)
    made = getattr(part, "__annotations__", {}).get("return")
    return made if isinstance(made, type) else type(_ENVIRONMENT, (), {})


def _is_object_of_a_part(part: object) -> bool:
    return kind_of(type(part)) != type(part).__name__ or hasattr(type(part), "__dataclass_fields__")


def _is_redefinition(old: Maker, new: Maker) -> bool:
    """Whether a class was defined anew, as when a notebook's cell is run again."""
    same = lambda what: getattr(old, what) == getattr(new, what)
    return isinstance(old, type) and isinstance(new, type) and same("__module__") and same("__qualname__")


def _word(kind: str) -> str:
    """`AbstractContrastiveLoss` -> `contrastive loss`."""
    if kind == _ENVIRONMENT:
        return "environment"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.removeprefix("Abstract")).lower()


def _article(kind: str) -> str:
    word = _word(kind)
    return f"{'An' if word[0] in 'aeiou' else 'A'} {word}"
