"""The paper's ablations at a small size: without norm, with ReLU, without residuals, at the depth where they should hurt.

    python recipes/ablations.py --scale laptop --out runs/ablations

Killed at any instant, the same command goes on. In the folder: the run, `results.csv` (a row per lane and evaluation),
`results.json` (final figures with intervals, differences to the paper's network, settings, versions), `variants.png`.
"""

from pathlib import Path

from deepcrl.experiments import main


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".toml"), __doc__)
