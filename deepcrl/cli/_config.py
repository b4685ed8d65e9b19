"""`deepcrl config`."""

from typing import Annotated

import tyro

from ..train import Config


def print_config(*, config: Annotated[Config, tyro.conf.arg(name="")]) -> None:
    """Print the settings of a run as TOML, for `--config`, without running it.

    Args:
        config: The settings.
    """
    print(config.to_toml(), end="")
