"""The kinds of reward that tasks offer."""

from typing import Literal


Reward = Literal["sparse", "dense"]
REWARDS = ("sparse", "dense")
