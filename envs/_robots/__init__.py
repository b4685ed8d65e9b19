"""Robots as MJCF files, written for this library from published tables of masses, lengths, ranges and gears."""

from ._ant import Ant as Ant
from ._api import AbstractRobot as AbstractRobot
from ._humanoid import Humanoid as Humanoid
from ._models import Body as Body, robot_spec as robot_spec
