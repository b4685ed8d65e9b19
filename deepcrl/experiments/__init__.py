"""Experiments as data: settings, sets of lanes, measures and figures from a TOML file; trained or gone on with, and told
with intervals and where everything comes from."""

from .._registry import register
from ._command import main as main
from ._experiment import Experiment as Experiment, NamedLanes as NamedLanes
from ._measures import AbstractMeasure as AbstractMeasure, SuccessByCell as SuccessByCell
from ._report import report as report
from ._train import train as train


register(SuccessByCell, "success_by_cell")
