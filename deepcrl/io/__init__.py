"""Runs in folders: the host loop, what it writes, what it shows."""

from ._folder import read_metrics as read_metrics, RunFolder as RunFolder
from ._log import AbstractSink as AbstractSink, metric_rows as metric_rows
from ._runner import run as run, RunResult as RunResult
