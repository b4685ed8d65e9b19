"""Deep self-supervised goal-reaching in JAX."""

from importlib.metadata import version as _version

from . import agents as agents, envs as envs, eval as eval, losses as losses, nn as nn, replay as replay
from ._citation import citation as citation
from ._registry import register as register, registered as registered
from .agents import Hypers as Hypers
from .runs import load_policy as load_policy
from .train import (
    Config as Config,
    Lanes as Lanes,
    lanes as lanes,
    make_train as make_train,
    Metrics as Metrics,
    Trainer as Trainer,
    TrainResult as TrainResult,
    TrainState as TrainState,
)


__version__ = _version("deepcrl")
