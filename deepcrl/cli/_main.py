"""Sub-commands, and errors as one message instead of a traceback."""

import contextlib
import functools as ft
import inspect
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import tyro
from rich.console import Console

from .. import __version__
from .._errors import check_integer
from ..envs import UnknownEnvironmentError
from ..runs._signals import end_process, hear_signals
from ..train import Config, split_cpu
from ._arguments import agent_of, import_modules, last_value, option_of_another_agent, registry_for
from ._bench import bench
from ._citation import cite
from ._config import print_config
from ._cost import cost_sheet
from ._envs import list_envs
from ._plot import plot
from ._render import render
from ._runs import evaluate, export, resume
from ._settings import base_config, split_axes, value_of, with_value
from ._train import train


_DESCRIPTION = (
    "Deep self-supervised goal-reaching: contrastive RL with residual networks 4 to 1024 layers deep. "
    "--import MODULE, with any command, imports what registers parts of your own; --version tells the version."
)
_COMMANDS = {
    "train": train,
    "resume": resume,
    "eval": evaluate,
    "export": export,
    "plot": plot,
    "render": render,
    "config": print_config,
    "cost": cost_sheet,
    "bench": bench,
    "envs": list_envs,
    "citation": cite,
}
_ERRORS = (ValueError, TypeError, MemoryError, OSError, ImportError, UnknownEnvironmentError)


def main(args: Sequence[str] | None = None) -> None:
    """The entry point.

    Exit status: 0 done, 1 a picture could not be drawn, 2 wrong input or a disk that failed, 3 a lane diverged, 130 ended
    by Ctrl-C or SIGTERM.
    """
    args = sys.argv[1:] if args is None else list(args)
    _keep_compiled_programs()
    if "" not in sys.path:
        sys.path.append("")  # modules of one's own: `my_module:MyEnv`, `--import my_module`
    with hear_signals(lambda count: end_process()):  # `run` hears them in its own way while it trains
        try:
            _make_devices(last_value(args, "--devices"))
            args = import_modules(args)
            status = _version() if args == ["--version"] else _command(args)()
        except _ERRORS as error:
            Console(stderr=True).print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
            sys.exit(2)
        except KeyboardInterrupt:
            end_process()
    sys.exit(status or 0)


def _version() -> None:
    print(f"deepcrl {__version__}")


def _keep_compiled_programs() -> None:
    """The second run of a program starts without compiling it. JAX's own variables choose another folder
    (`JAX_COMPILATION_CACHE_DIR`) or switch this off (`JAX_ENABLE_COMPILATION_CACHE=false`)."""
    if jax.config.jax_compilation_cache_dir is None:  # pyright: ignore[reportAttributeAccessIssue]
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(base / "deepcrl" / "xla"))


def _make_devices(asked: str | None) -> None:
    """Before modules of the user's are imported: where they use JAX, it has its devices from then on."""
    if asked == "all":
        split_cpu()
    elif asked is not None and asked.isdecimal():
        check_integer("devices", int(asked))
        if int(asked) > 1:
            split_cpu(int(asked))


def _command(args: list[str]) -> Callable[[], int | None]:
    """The command that the arguments ask for, ready to be called."""
    args, base = base_config(args)
    if args[:1] != ["train"]:
        return _parse(args, base)
    args, axes = split_axes(args, agent_of(args, base))
    command = _parse(args, base)
    if not axes:
        return command
    read = lambda field, value: value_of(_parse(with_value(args, field, value), base).keywords["config"], field)
    return ft.partial(
        command, settings={field: [read(field, value) for value in values] for field, values in axes.items()}
    )


def _parse(args: list[str], base: Config | None) -> ft.partial[int | None]:
    """The same of options with one value each, which build on the `base`."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.extras.subcommand_cli_from_dict(
                {name: _deferred(command, base) for name, command in _COMMANDS.items()},
                prog="deepcrl",
                description=_DESCRIPTION,
                args=args,
                registry=registry_for(args, base),
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.PositionalRequiredArgs, tyro.conf.DisallowNone),
            )
    except SystemExit:
        # A config's own error comes with the parser's name for the place; the message says it by itself.
        sys.stderr.write(re.sub(r"Error parsing __tyro\S*: ", "", said.getvalue()))
        if said.getvalue() and (hint := option_of_another_agent(args)):
            sys.stderr.write(f"{hint}\n")
        raise


def _deferred(command: Callable[..., Any], base: Config | None) -> Callable[..., Any]:
    """The same signature and help, with `base` as the default config; calling it only notes the arguments."""

    @ft.wraps(command)
    def note(*args: Any, **kwargs: Any) -> Callable[[], Any]:
        return ft.partial(command, *args, **kwargs)

    signature = inspect.signature(command)
    if base is not None and "config" in signature.parameters:
        config = signature.parameters["config"].replace(default=base)
        note.__signature__ = signature.replace(  # pyright: ignore[reportAttributeAccessIssue]
            parameters=list({**signature.parameters, "config": config}.values())
        )
    return note
