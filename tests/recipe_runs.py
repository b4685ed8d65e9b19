"""Recipes as tests call them: with small settings, in this process, on the devices that it has."""

import runpy
import sys
from pathlib import Path


RECIPES = Path(__file__).parent.parent / "recipes"
CONFIG = """
[config]
env = "point_u_maze"
num_envs = 4
rollout_length = 10
batch_size = 8
utd_ratio = 0.025
buffer_length = 40
prefill_length = 20
episode_length = 20
eval_envs = 4
"""


def load(name):
    """The names in a recipe, by `runpy`."""
    return runpy.run_path(str(RECIPES / f"{name}.py"))


def write_settings(folder, text):
    """A file of settings: those of a small run, then `text`."""
    file = folder / "tiny.toml"
    file.write_text(CONFIG + text)
    return file


def call(recipe, patch, settings, out, *arguments):
    """Runs a recipe at the scale `tiny` of `settings`, as its command does."""
    command = ["recipe.py", "--settings", str(settings), "--scale", "tiny", "--out", str(out), *arguments]
    patch.setattr(sys, "argv", command)
    # It would split the CPU for all tests to come.
    patch.setitem(recipe["main"].__globals__, "split_cpu", lambda *devices: None)
    recipe["main"]()
