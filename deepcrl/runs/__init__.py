"""Runs in folders: the host loop, what it writes, what it shows, and how a run goes on after it stopped."""

from ._alarms import Alarm as Alarm, alarms as alarms
from ._checkpoint import (
    load_checkpoint as load_checkpoint,
    read_about as read_about,
    save_checkpoint as save_checkpoint,
)
from ._evaluate import evaluate_policies as evaluate_policies, task_of as task_of
from ._failed import FailedStep as FailedStep, load_failed_step as load_failed_step
from ._folder import RunFolder as RunFolder
from ._log import AbstractSink as AbstractSink, metric_rows as metric_rows, WALL_CLOCK as WALL_CLOCK
from ._measures import Measure as Measure
from ._open import export_policy as export_policy, load_policies as load_policies, open_run as open_run, Run as Run
from ._plan import Plan as Plan
from ._policy import load_policy as load_policy, Policy as Policy
from ._runner import resume as resume, run as run, RunResult as RunResult
from ._sinks import TensorBoardSink as TensorBoardSink, WandbSink as WandbSink
from ._store import CheckpointStore as CheckpointStore, Saving as Saving
