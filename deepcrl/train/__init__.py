"""Training: configs, the training function, lanes and sweeps."""

from ._bench import LearnerSpeed as LearnerSpeed, time_learner as time_learner
from ._collected import Failures as Failures
from ._config import Config as Config, env_spec as env_spec, EnvOptions as EnvOptions
from ._cost import Cost as Cost, cost as cost, measure as measure, Speed as Speed
from ._devices import lane_mesh as lane_mesh, split_cpu as split_cpu
from ._lanes import changed as changed, Lane as Lane, Lanes as Lanes, lanes as lanes
from ._state import Metrics as Metrics, TrainResult as TrainResult, TrainState as TrainState
from ._sweep import (
    lane_state as lane_state,
    States as States,
    Sweep as Sweep,
    sweep as sweep,
    SweepResult as SweepResult,
)
from ._trainer import check_memory as check_memory, make_train as make_train, Trainer as Trainer
