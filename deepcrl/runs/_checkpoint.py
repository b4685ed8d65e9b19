"""One checkpoint: the arrays of a tree by orbax, and JSON beside them that says what they are.

The JSON has the name, shape and dtype of every leaf and the SHA-256 of every file, its own text included. All of it is
checked before the first array is read, so what is damaged or foreign is refused by its name instead of loaded.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jaxtyping import PyTree

from ._files import digest, whole_folder
from ._schema import known_schemas, migrated, SCHEMA


_ABOUT = "checkpoint.json"
_ARRAYS = "arrays"
_MAX_ABOUT_BYTES = 2**26
_CHUNK_BYTES = 2**26  # of one leaf, written and read at a time
_CONCURRENT_GB = 1
_GROUP_BYTES = 2**28  # orbax holds all arrays that it is given at once a second time: it is given few
PACKAGES = ("deepcrl", "jax", "jaxlib", "equinox", "optax", "numpy", "orbax-checkpoint")

T = TypeVar("T", bound=PyTree)


def save_checkpoint(path: str | Path, tree: PyTree, about: Mapping[str, Any]) -> None:
    """Writes a tree of arrays as a folder, all or nothing: a kill in the middle leaves no folder of that name.

    **Arguments:**

    - `path`: the folder, which must not be there yet.
    - `tree`: of arrays, typed keys included. Leave a part out by `None` in its place.
    - `about`: JSON values to keep with it; [`deepcrl.runs.read_about`][] gives them back.

    **Raises:** `ValueError` if the folder is there, `OSError`, with the remedy, if the disk cannot take it.
    """
    import orbax.checkpoint as ocp

    leaves = _leaves(tree)
    groups = _groups(leaves)
    path = Path(path).absolute()
    with whole_folder(path) as folder:
        for number, names in enumerate(groups):
            # On a CPU these are views: nothing is copied here.
            arrays = {name: np.asarray(_data(leaves[name])) for name in names}
            args = ocp.args.PyTreeSave(
                arrays, save_args={name: ocp.SaveArgs(chunk_byte_size=_CHUNK_BYTES) for name in names}
            )
            ocp.Checkpointer(_handler()).save(folder / _ARRAYS / str(number), args=args)
        document = {
            "schema": SCHEMA,
            "about": dict(about),
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
            "leaves": {name: dataclasses.asdict(_kind(leaf)) for name, leaf in leaves.items()},
            "groups": groups,
            "files": {name: [file.stat().st_size, digest(file)] for name, file in _files(folder).items()},
        }
        document["digest"] = _digest(document)
        (folder / _ABOUT).write_text(json.dumps(document, indent=1) + "\n")


def read_about(path: str | Path) -> dict[str, Any]:
    """What [`deepcrl.runs.save_checkpoint`][] was told about the tree; no array is read.

    **Raises:** `ValueError` for a folder that is not a checkpoint, a damaged one, or one of an unknown schema.
    """
    return _document(Path(path))["about"]


def load_checkpoint(path: str | Path, template: T, *, partial: bool = False) -> T:
    """The tree that was saved, in the structure of a template.

    **Arguments:**

    - `path`: the folder.
    - `template`: a tree of arrays or `jax.ShapeDtypeStruct`s with the shapes and dtypes that are expected. A leaf that
        has a sharding is restored onto it, whatever it was saved from; others go where JAX puts new arrays.
    - `partial`: whether the checkpoint may hold more than the template asks for.

    **Returns:** a tree of arrays.

    **Raises:** `ValueError` for a damaged checkpoint, and for the first leaf that differs from the template, with its
    name.
    """
    path = Path(path).absolute()
    document = _document(path)
    wanted = _leaves(template)
    _check_leaves(path, document["leaves"], wanted, partial)
    _check_files(path, document["files"])
    data: dict[str, jax.Array] = {}
    for number, names in enumerate(document["groups"]):
        data |= _read(path, path / _ARRAYS / str(number), {name: wanted[name] for name in names if name in wanted})
    for name, leaf in wanted.items():
        if name not in data and math.prod(leaf.shape):
            raise _damaged(path, f"`{_ABOUT}` does not say where the arrays of leaf `{name}` are")
    leaves = [
        _undo_data(data[name], leaf) if name in data else jnp.zeros(leaf.shape, leaf.dtype)
        for name, leaf in wanted.items()
    ]
    return jtu.tree_unflatten(jtu.tree_structure(template), leaves)


# -- leaves ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Kind:
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


def _leaves(tree: PyTree) -> dict[str, Any]:
    named = [(jtu.keystr(path, simple=True, separator="."), leaf) for path, leaf in jtu.tree_leaves_with_path(tree)]
    leaves = dict(named)
    if len(leaves) != len(named):
        raise ValueError("Two leaves of a tree must not have the same name; give its parts other names.")
    return leaves


def _groups(leaves: Mapping[str, Any]) -> list[list[str]]:
    """The names of the leaves that hold anything, in groups of not many bytes."""
    groups, room = [], 0
    for name, leaf in leaves.items():
        size = leaf.size * leaf.dtype.itemsize
        if not size:
            continue
        if size > room:
            groups.append([])
            room = _GROUP_BYTES
        groups[-1].append(name)
        room -= size
    return groups


def is_key(leaf: Any) -> bool:
    """Whether a leaf holds typed PRNG keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _impl(leaf: Any) -> str:
    """The name of a typed key's generator; `leaf` may be a `jax.ShapeDtypeStruct`."""
    names: list[str] = []
    jax.eval_shape(lambda key: names.append(str(jr.key_impl(key))), leaf)
    return names[0]


def _kind(leaf: Any) -> _Kind:
    return _Kind(tuple(leaf.shape), f"key:{_impl(leaf)}" if is_key(leaf) else str(leaf.dtype))


def _data(leaf: Any) -> Any:
    return jr.key_data(leaf) if is_key(leaf) else leaf


def _undo_data(data: jax.Array, leaf: Any) -> jax.Array:
    return jr.wrap_key_data(data, impl=_impl(leaf)) if is_key(leaf) else data


def _check_leaves(path: Path, saved: Mapping[str, _Kind], wanted: Mapping[str, Any], partial: bool) -> None:
    for name, leaf in wanted.items():
        if name not in saved:
            why = " It was saved without the replay buffer." if "queue" in name.split(".") else ""
            raise ValueError(f"The checkpoint {path} has no leaf `{name}`, which this run needs.{why}")
        if saved[name] != (expected := _kind(leaf)):
            raise ValueError(f"Leaf `{name}` of the checkpoint {path} is {saved[name]}, but this run needs {expected}.")
    if not partial:
        for name in saved:
            if name not in wanted:
                raise ValueError(f"The checkpoint {path} holds a leaf `{name}` that this run does not have.")


# -- files -------------------------------------------------------------------------------------------------------------


def _document(path: Path) -> dict[str, Any]:
    """The JSON of a checkpoint, as it was written or not at all."""
    file = path / _ABOUT
    if not file.is_file():
        raise ValueError(f"{path} is not a checkpoint: it has no `{_ABOUT}`.")
    if file.stat().st_size > _MAX_ABOUT_BYTES:
        raise _damaged(path, f"`{_ABOUT}` is larger than {_MAX_ABOUT_BYTES} bytes")
    try:
        document = json.loads(file.read_bytes())
        schema, written = document["schema"], document.pop("digest")
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(path, f"`{_ABOUT}` cannot be read ({type(error).__name__}: {error})") from error
    known = known_schemas()
    if type(schema) is not int or schema not in known:
        raise ValueError(
            f"The checkpoint {path} has schema {schema!r}; this version of deepcrl reads schema "
            f"{' or '.join(map(str, known))}. Use the version that wrote it."
        )
    if written != _digest(document):
        raise _damaged(path, f"`{_ABOUT}` is not what was written")
    try:  # whoever wrote it may not be us
        document = migrated(document)
        about, leaves, files = document["about"], document["leaves"], document["files"]
        document["leaves"] = {name: _Kind(tuple(kind["shape"]), kind["dtype"]) for name, kind in leaves.items()}
        document["files"] = {name: (size, text) for name, (size, text) in files.items()}
        document["groups"] = [[str(name) for name in names] for names in document["groups"]]
        about.keys()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(path, f"`{_ABOUT}` lacks what it must hold ({type(error).__name__}: {error})") from error
    return document


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _files(path: Path) -> dict[str, Path]:
    """All files of a checkpoint but its JSON, by their place in it."""
    files = (file for file in sorted(path.rglob("*")) if file.is_symlink() or not file.is_dir())
    named = {file.relative_to(path).as_posix(): file for file in files}
    return {name: file for name, file in named.items() if name != _ABOUT}


def _check_files(path: Path, expected: Mapping[str, Any]) -> None:
    files = _files(path)
    for name in sorted({*expected, *files}):
        if name not in files:
            raise _damaged(path, f"the file `{name}` is missing")
        if name not in expected:
            raise _damaged(path, f"the file `{name}` does not belong to it")
        file, (size, text) = files[name], expected[name]
        if file.is_symlink() or not file.is_file() or file.stat().st_size != size or digest(file) != text:
            raise _damaged(path, f"the file `{name}` is not what was written")


def _damaged(path: Path, what: str) -> ValueError:
    return ValueError(f"The checkpoint {path} is damaged: {what}. Remove the folder to go on from the one before it.")


def _handler() -> Any:
    import orbax.checkpoint as ocp

    return ocp.PyTreeCheckpointHandler(save_concurrent_gb=_CONCURRENT_GB, restore_concurrent_gb=_CONCURRENT_GB)


def _read(path: Path, arrays: Path, wanted: Mapping[str, Any]) -> dict[str, jax.Array]:
    """The arrays of these leaves of one group, keys as numbers."""
    import orbax.checkpoint as ocp

    if not wanted:
        return {}
    data = {name: jax.eval_shape(_data, leaf) for name, leaf in wanted.items()}
    shardings = {name: getattr(leaf, "sharding", None) for name, leaf in wanted.items()}
    args = {
        # An array that orbax puts on a device is bound to it, and a program of bound arrays is compiled anew. Where the
        # template does not ask for a place, JAX finds one, as it did when the run began.
        name: ocp.RestoreArgs(restore_type=np.ndarray)
        if shardings[name] is None
        else ocp.ArrayRestoreArgs(sharding=shardings[name], global_shape=leaf.shape, dtype=leaf.dtype, strict=True)
        for name, leaf in data.items()
    }
    restore = ocp.args.PyTreeRestore(item=data, restore_args=args, partial_restore=True)
    try:
        read = ocp.Checkpointer(_handler()).restore(arrays, args=restore)
    except Exception as error:  # the files are those that were written: whoever wrote them wrote no such arrays
        raise _damaged(path, f"its arrays cannot be read ({type(error).__name__})") from error
    for name, leaf in data.items():
        if read[name].shape != leaf.shape or read[name].dtype != leaf.dtype:
            raise _damaged(path, f"leaf `{name}` is not what `{_ABOUT}` says")
    return {name: jnp.asarray(read.pop(name)) for name in data}
