"""`deepcrl envs`."""

from rich.console import Console
from rich.table import Table

from .. import envs
from ..train import env_spec


def list_envs() -> None:
    """List the tasks: sizes of observation, goal and action, and steps per episode."""
    table = Table(title="tasks")
    for name in ("task", "observation", "goal", "action", "episode"):
        table.add_column(name, justify="left" if name == "task" else "right")
    for name in envs.names():
        if name in envs.templates():
            continue
        env, params = envs.make(name)
        spec = env_spec(env, params)
        sizes = (spec.observation_size, spec.goal_size, spec.action_size, env.episode_length)
        table.add_row(name, *map(str, sizes))
    console = Console()
    console.print(table)
    templates = ", ".join(envs.templates())
    console.print(f"{templates} take a grid of your own: --env-options maze=11111/1RGG1/11111", soft_wrap=True)
