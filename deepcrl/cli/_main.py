"""Sub-commands, and errors as one line instead of a traceback."""

import sys
from collections.abc import Sequence

import tyro
from rich.console import Console

from ..envs import UnknownEnvironmentError
from ._arguments import REGISTRY
from ._envs import list_envs
from ._train import train


_DESCRIPTION = "Deep self-supervised goal-reaching: contrastive RL with residual networks 4 to 1024 layers deep."
_ERRORS = (ValueError, TypeError, MemoryError, UnknownEnvironmentError)


def main(args: Sequence[str] | None = None) -> None:
    """The entry point. Exit status: 0 done, 1 a picture could not be drawn, 2 wrong input, 130 ended by Ctrl-C."""
    console = Console()
    try:
        status = tyro.extras.subcommand_cli_from_dict(
            {"train": train, "envs": list_envs},
            prog="deepcrl",
            description=_DESCRIPTION,
            args=sys.argv[1:] if args is None else list(args),
            registry=REGISTRY,
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.PositionalRequiredArgs, tyro.conf.DisallowNone),
        )
    except _ERRORS as error:
        Console(stderr=True).print(f"[bold red]error:[/bold red] {error}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        console.print("Stopped.")
        sys.exit(130)
    sys.exit(status or 0)
