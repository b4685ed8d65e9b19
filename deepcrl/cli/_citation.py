"""`deepcrl citation`."""

from pathlib import Path
from typing import Annotated

import tyro

from .._citation import citation
from ..runs import open_run


def cite(run: Annotated[Path, tyro.conf.Positional]) -> None:
    """Print the BibTeX entries of exactly what a run uses: its algorithm, losses and networks.

    Args:
        run: The run's folder.
    """
    citation(open_run(run).config)
