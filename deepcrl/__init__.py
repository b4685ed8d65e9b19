"""Deep self-supervised goal-reaching in JAX."""

from importlib.metadata import version as _version

from . import agents as agents, envs as envs, eval as eval, losses as losses, nn as nn, replay as replay
from ._citation import citation as citation
from ._registry import register as register, registered as registered
from .agents import CRL as CRL, GCBC as GCBC, GCSL as GCSL, Hypers as Hypers, SAC as SAC, TD3 as TD3
from .runs import load_policy as load_policy, open_run as open_run, resume as resume, run as run
from .train import (
    Config as Config,
    Lane as Lane,
    Lanes as Lanes,
    lanes as lanes,
    make_train as make_train,
    Metrics as Metrics,
    Sweep as Sweep,
    sweep as sweep,
    SweepResult as SweepResult,
    Trainer as Trainer,
    TrainResult as TrainResult,
    TrainState as TrainState,
)


__version__ = _version("deepcrl")
