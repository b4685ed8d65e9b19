"""What is installed: the wheel's contents, import cost, and the MuJoCo pair."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from strategies import run_python


ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_holds_every_module_once_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    sources = {p.relative_to(ROOT).as_posix() for p in (ROOT / "deepcrl").rglob("*.py") if "envs" not in p.parts}
    sources |= {f"deepcrl/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / "envs").rglob("*.py")}
    sources |= {f"deepcrl/envs/_robots/{p.name}" for p in (ROOT / "envs" / "_robots").glob("*.xml")}
    assert "deepcrl/envs/_tasks/_point_maze.py" in sources
    assert sorted(names) == sorted(sources | {"deepcrl/py.typed"})


def test_wheel_works_away_from_the_sources(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    out = run_python(
        "import sys; sys.path.insert(0, 'site'); import deepcrl; print(deepcrl.__file__); "
        "print(deepcrl.envs.make('point_u_maze')[0].episode_length)",
        cwd=tmp_path,
    )
    where, episode_length = out.split("\n")[:2]
    assert Path(where).is_relative_to(tmp_path)
    assert int(episode_length) > 0


def test_import_is_light():
    heavy = ("mujoco", "matplotlib", "orbax", "wandb", "tensorboardX", "gymnasium", "tyro", "imageio", "scipy.stats")
    loaded = run_python(f"import sys, deepcrl; print([m for m in {heavy} if m in sys.modules])", cwd=ROOT)
    assert loaded.strip() == "[]"


def test_envs_has_one_import_name():
    done = subprocess.run([sys.executable, "-c", "import envs"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "import deepcrl.envs" in done.stderr


def test_version_is_the_package_s():
    import importlib.metadata

    import deepcrl

    assert deepcrl.__version__ == importlib.metadata.version("deepcrl")


# Dependencies hold mujoco and mujoco-mjx to one minor version, because the newest mjx does not cap mujoco itself.
PAIR = """
import warnings; warnings.simplefilter("ignore")
import importlib.metadata as m, jax, jax.numpy as jnp, mujoco, numpy as np
from mujoco import mjx
assert m.version("mujoco").split(".")[:2] == m.version("mujoco-mjx").split(".")[:2]
model = mujoco.MjModel.from_xml_string('''<mujoco><worldbody><geom type="plane" size="1 1 1"/>
<body pos="0 0 0.5"><freejoint/><geom type="sphere" size="0.1"/></body></worldbody></mujoco>''')
data = mujoco.MjData(model)
x, y = mjx.put_model(model), mjx.make_data(model)
step = jax.jit(mjx.step)
for _ in range(50):
    mujoco.mj_step(model, data)
    y = step(x, y)
np.testing.assert_allclose(np.asarray(y.qpos), data.qpos, atol=1e-4)
print("agree", data.qpos[2])
"""


@pytest.mark.slow
def test_mujoco_pair_steps_alike():
    assert run_python(PAIR).strip().split("\n")[-1].startswith("agree")
