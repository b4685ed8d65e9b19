"""What a run is to do, and its `config.json`."""

import dataclasses
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

import jax

from ..envs import AbstractMujocoEnv
from ..envs._physics import default_engine
from ..train import _serialise, Config, Lane, Lanes
from ._checkpoint import PACKAGES
from ._store import Saving


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run is to do."""

    config: Config
    """The settings."""
    lanes: Lanes
    """What is trained."""
    saving: Saving = dataclasses.field(default_factory=Saving)
    """What is saved."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `config.json` has them."""
        return {
            "config": self.config.to_dict(),
            "lanes": [
                {"seed": lane.seed, "settings": _serialise.to_values(self.config, lane.settings)} for lane in self.lanes
            ],
            "saving": dataclasses.asdict(self.saving),
        }

    def to_json(self) -> str:
        """The text of `config.json`: the plan, and what runs it."""
        machine = {
            "engine": engine_of(self.config),
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
            "python": platform.python_version(),
            "device": jax.devices()[0].device_kind,
            "cpu_count": os.cpu_count(),
        }
        return json.dumps({**self.to_dict(), **machine}, indent=2) + "\n"


def read_plan(path: str | Path) -> Plan:
    """The plan of the run in a folder. **Raises** `ValueError` if there is none, or not as it was written."""
    about = read_config_file(path)
    try:
        config = Config.from_dict(about["config"])
        settings = [_serialise.from_values(config, lane["settings"]) for lane in about["lanes"]]
        seeds = [int(lane["seed"]) for lane in about["lanes"]]
        lanes = Lanes(tuple(Lane.of(config, *lane) for lane in zip(seeds, settings, strict=True)))
        return Plan(config, lanes, Saving(**about.get("saving", {})))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{Path(path) / 'config.json'} is not a run's: {type(error).__name__}: {error}.") from error


def read_config_file(path: str | Path) -> dict[str, Any]:
    """All that `config.json` says. **Raises** `ValueError` for a folder without, or where it is no JSON object."""
    file = Path(path) / "config.json"
    if not file.is_file():
        raise ValueError(f"{path} holds no `config.json`: it is not the folder of a run.")
    try:
        return dict(json.loads(file.read_text()))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not a run's: {type(error).__name__}: {error}.") from error


def engine_of(config: Config) -> str | None:
    """What simulates here; `None` for a task without physics."""
    env = config.make_env()[0]
    return (env.engine or default_engine()) if isinstance(env, AbstractMujocoEnv) else None
