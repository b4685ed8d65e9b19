"""The log sinks that the command line offers besides the run's folder."""

from pathlib import Path

from ..runs import AbstractSink, TensorBoardSink, WandbSink


def extra_sinks(out: Path, tensorboard: bool, wandb: bool) -> list[AbstractSink]:
    """Sinks that write below a run's folder; nothing leaves the machine."""
    sinks: list[AbstractSink] = []
    if tensorboard:
        sinks.append(TensorBoardSink(out / "tensorboard"))
    if wandb:
        sinks.append(WandbSink(out / "wandb"))
    return sinks
