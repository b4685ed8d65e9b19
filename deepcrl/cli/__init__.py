"""The command line: `deepcrl train|resume|eval|export|envs`."""

from ._main import main as main
