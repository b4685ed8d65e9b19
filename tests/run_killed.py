"""Used by the tests of resume: a run in a process of its own, to be killed.

A chain is a run, killed again and again and resumed each time, until it ends by itself.
"""

import random
import subprocess
import sys
import time


CODE = "import sys; from deepcrl.cli import main; main(sys.argv[1:])"


def launch(args, log):
    """`deepcrl ARGS` in a process of its own."""
    with open(log, "a") as said:
        command = [sys.executable, "-c", CODE, *map(str, args)]
        return subprocess.Popen(command, stdout=said, stderr=said)


def size(path):
    return path.stat().st_size if path.exists() else 0


def chain(out, train_args, log, kills, seed):
    """Runs to the end with that many kills; returns the last exit status, and how many epochs were there at each kill."""
    moments, seen = random.Random(seed), []
    for _ in range(kills):
        process = start_or_resume(out, train_args, log)
        try:
            if moments.random() < 0.8:  # else anywhere, imports and compiling included
                before, deadline = size(out / "metrics.jsonl"), time.monotonic() + 300
                while size(out / "metrics.jsonl") <= before and process.poll() is None:
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.01)
            time.sleep(moments.uniform(0.0, 1.5))
        finally:
            process.kill()  # SIGKILL: nothing in the process gets to know
            process.wait()
        seen.append(size(out / "metrics.jsonl"))
    process = start_or_resume(out, train_args, log)
    try:
        return process.wait(timeout=600), seen
    finally:
        process.kill()


def start_or_resume(out, train_args, log):
    begun = (out / "config.json").exists()
    return launch(["resume", out, "--no-plots"] if begun else train_args, log)
