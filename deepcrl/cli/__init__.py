"""The command line: `deepcrl train|envs`."""

from ._main import main as main
