"""The command line: `deepcrl train`, `deepcrl resume` and so on."""

from ._main import main as main
