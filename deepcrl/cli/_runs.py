"""`deepcrl resume`, `deepcrl eval`, `deepcrl export`: what can be done with a run's folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from ..eval import bootstrap_interval
from ..runs import evaluate_policies, export_policy, load_policies, open_run, resume as resume_run
from ..train import EnvOptions
from ._sinks import extra_sinks
from ._train import finish


def resume(
    run: Annotated[Path, tyro.conf.Positional],
    *,
    total_env_steps: int | None = None,
    devices: int | Literal["all"] = 1,
    tensorboard: bool = False,
    wandb: bool = False,
    plots: bool = True,
) -> int:
    """Go on with a run that was stopped or killed, as if it had not been.

    Args:
        run: The run's folder.
        total_env_steps: A higher budget, to train for longer; rounded down to whole epochs.
        devices: How many devices share the lanes, as in `deepcrl train`; not necessarily as many as before.
        tensorboard: Write events for TensorBoard to the run's folder.
        wandb: Log to Weights & Biases, offline, in the run's folder.
        plots: Draw the pictures of `deepcrl train`.
    """
    console = Console()
    sinks = extra_sinks(run, tensorboard, wandb)
    result = resume_run(run, total_env_steps=total_env_steps, devices=devices, sinks=sinks, console=console)
    return finish(result, run, plots, console)


def evaluate(
    run: Annotated[Path, tyro.conf.Positional],
    *,
    env: str | None = None,
    env_options: EnvOptions | Mapping[str, Any] | None = None,
    episodes: int = 1000,
    last: bool = False,
    seed: int = 0,
    actions: Literal["stochastic", "deterministic"] | int | None = None,
) -> None:
    """Measure the success of a run's policies, or of an exported one.

    Args:
        run: A run's folder, or an exported policy's.
        env: The task; by default the one that the run evaluates on.
        env_options: Its options; by default those of the run.
        episodes: How many fresh episodes, for every lane.
        last: Take the newest checkpoint of a run instead of the one with the highest success.
        seed: Of starts, goals and chance.
        actions: Samples of the policy, its mode, or the best by the critic of that many samples; by default as the run's
            own evaluations.
    """
    policies = load_policies(run, best=not last)
    outcomes = evaluate_policies(
        policies, env=env, env_options=env_options, episodes=episodes, seed=seed, actions=actions
    )
    console = Console()
    console.print(
        f"{run}: {len(policies)} lane(s), {episodes} episodes each, on {env or policies[0].eval_env}",
        markup=False,
        soft_wrap=True,
    )
    for told, places in _alike(run, len(policies)).items():
        if told:
            console.print(f"{told}: {len(places)} lane(s)", markup=False, highlight=False)
        for name, values in outcomes.items():
            mine = values[places]
            units = mine.mean(axis=1) if len(places) > 1 else mine[0]
            low, high = bootstrap_interval(units, seed=seed)
            lanes = "" if len(places) == 1 else "  (" + ", ".join(f"{mean:.3f}" for mean in mine.mean(axis=1)) + ")"
            console.print(
                f"{name:12} {units.mean():.3f}  [{low:.3f}, {high:.3f}]{lanes}", markup=False, highlight=False
            )
    over = "lanes" if len(policies) > 1 else "episodes"
    console.print(f"In square brackets: 95 % bootstrap interval of the mean over {over}.", markup=False)


def _alike(run: Path, count: int) -> dict[str, list[int]]:
    """The places of the lanes that differ in nothing but seeds, by what tells them apart."""
    if not (run / "config.json").is_file():
        return {"": list(range(count))}
    lanes, groups = open_run(run).lanes, {}
    for row in lanes.table():
        groups.setdefault(", ".join(f"{name} {row[name]}" for name in lanes.settings), []).append(row["lane"])
    return groups


def export(
    run: Annotated[Path, tyro.conf.Positional],
    out: Annotated[Path, tyro.conf.Positional],
    *,
    best: bool = False,
    lane: int | None = None,
) -> None:
    """Write one policy of a run to a small folder of its own, for `deepcrl.load_policy`.

    Args:
        run: The run's folder.
        out: The policy's folder, which must not be there yet.
        best: Take the checkpoint with the highest success instead of the newest.
        lane: Which lane; by default the one with the highest success at that checkpoint.
    """
    policy = export_policy(run, out, best=best, lane=lane)
    Console().print(f"Lane {policy.lane}, epoch {policy.epoch}: written to {out}", markup=False, soft_wrap=True)
