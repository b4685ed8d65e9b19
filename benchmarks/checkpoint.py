"""What a checkpoint costs: the pause it puts into training, and the memory and time of a large one.

    python benchmarks/checkpoint.py [--size-gb 5] [--epochs 6] [--json FILE]

Two tables. The pause: a laptop-sized run, its epochs with and without a save after each, and the share of an epoch that
`CheckpointStore.save` takes from training (what is left of a save goes on in the background). Large: a tree of that many
gigabytes saved and restored in a process of its own each, with the peak of the process's memory over the tree's own size.
"""

import argparse
import json
import multiprocessing
import resource
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from deepcrl import Config, make_train
from deepcrl.agents import CRL
from deepcrl.runs import CheckpointStore, load_checkpoint, save_checkpoint


LEAF_BYTES = 2**28


def pause(epochs: int, folder: Path) -> dict[str, float]:
    """Median seconds of an epoch and of the pause after it, at the settings of the README's run."""
    config = Config(
        env="point_u_maze", agent=CRL(depth=4, width=64), epochs=epochs, total_env_steps=19_200 + epochs * 48_000
    )
    train = make_train(config)
    state = jax.vmap(train.init)(jnp.arange(3))
    epoch = jax.jit(jax.vmap(train.epoch), donate_argnums=0)
    state, _ = jax.block_until_ready(epoch(state))  # compiles
    store = CheckpointStore(folder / "checkpoints")
    seconds: dict[str, list[float]] = {"alone": [], "beside_a_save": [], "pause": []}
    for number in range(1, epochs + 1):
        for name in ("alone", "beside_a_save"):
            began = time.perf_counter()
            state, _ = jax.block_until_ready(epoch(state))
            seconds[name].append(time.perf_counter() - began)
            began = time.perf_counter()
            if name == "alone":  # the next epoch runs beside this save, the one after it alone
                store.save(state, number, 0.0, {})
                seconds["pause"].append(time.perf_counter() - began)
            else:
                store.wait()
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    size = sum(file.stat().st_size for file in store.at(epochs).rglob("*") if file.is_file())
    lost = medians["pause"] + max(0.0, medians["beside_a_save"] - medians["alone"])
    return {
        "epoch_seconds": medians["alone"],
        "pause_seconds": medians["pause"],
        "pause_share": medians["pause"] / medians["alone"],
        "lost_share": lost / medians["alone"],
        "checkpoint_mb": size / 1e6,
    }


def _tree(gigabytes: float) -> dict[str, jax.Array]:
    count = max(1, round(gigabytes * 1e9 / LEAF_BYTES))
    # Random numbers: zeros would be compressed away.
    return {f"leaf_{i}": jax.random.normal(jax.random.key(i), (LEAF_BYTES // 4,)) for i in range(count)}


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _large(kind: str, gigabytes: float, folder: str, queue: "multiprocessing.Queue[dict[str, float]]") -> None:
    tree = jax.block_until_ready(_tree(gigabytes)) if kind == "save" else jax.eval_shape(lambda: _tree(gigabytes))
    before = _peak_gb()
    began = time.perf_counter()
    if kind == "save":
        save_checkpoint(folder, tree, {})
    else:
        jax.block_until_ready(load_checkpoint(folder, tree))
    seconds = time.perf_counter() - began
    state = 0.0 if kind == "save" else sum(leaf.size * 4 for leaf in tree.values()) / 1e9
    queue.put({"seconds": seconds, "extra_gb": _peak_gb() - before - state})


def large(gigabytes: float, folder: Path) -> dict[str, dict[str, float]]:
    """Seconds, and gigabytes beyond the tree itself, of saving and of restoring it."""
    context, rows = multiprocessing.get_context("spawn"), {}
    for kind in ("save", "restore"):
        queue = context.Queue()
        process = context.Process(target=_large, args=(kind, gigabytes, str(folder / "large"), queue))
        process.start()
        rows[kind] = queue.get()
        process.join()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-gb", type=float, default=5.0, help="0 leaves the large one out")
    parser.add_argument("--epochs", type=int, default=6, help="0 leaves the pause out")
    parser.add_argument("--folder", help="where to write (by default the system's folder for temporary files)")
    parser.add_argument("--json", help="write the tables here too")
    args = parser.parse_args()

    folder = Path(tempfile.mkdtemp(dir=args.folder))
    tables = {}
    try:
        if args.epochs:
            tables["pause"] = row = pause(args.epochs, folder)
            print(f"epoch {row['epoch_seconds']:.2f} s, checkpoint {row['checkpoint_mb']:.0f} MB")
            print(f"pause {row['pause_seconds']:.3f} s = {row['pause_share']:.1%} of an epoch", flush=True)
            print(f"with what the next epoch loses beside it: {row['lost_share']:.1%}", flush=True)
        if args.size_gb:
            tables["large"] = rows = large(args.size_gb, folder)
            for kind, row in rows.items():
                print(f"{args.size_gb:g} GB {kind:8} {row['seconds']:6.1f} s, {row['extra_gb']:.2f} GB of extra memory")
    finally:
        shutil.rmtree(folder)
    if args.json:
        Path(args.json).write_text(json.dumps({"jax": jax.__version__, **tables}, indent=2) + "\n")


if __name__ == "__main__":
    main()
