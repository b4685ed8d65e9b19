"""The pages: their Python runs as it stands, their numbers hold, and the API pages leave no public name out.

`docs/usage/own_environment.md` has tests of its own.
"""

import ast
import importlib
import inspect
import pathlib
import re
import sys
import types

import numpy as np
import pytest
from strategies import registering


ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
NAMESPACES = (
    "deepcrl",
    "deepcrl.agents",
    "deepcrl.replay",
    "deepcrl.cli",
    "deepcrl.envs",
    "deepcrl.eval",
    "deepcrl.experiments",
    "deepcrl.runs",
    "deepcrl.losses",
    "deepcrl.nn",
    "deepcrl.report",
    "deepcrl.train",
)


def python_blocks(page: pathlib.Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


PAGES = [
    page
    for page in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
    if page.name != "own_environment.md" and python_blocks(page)
]
TRAINS = r"(train|run|sweep)\("  # pages that do compile for a minute


@pytest.fixture
def run_page(monkeypatch, tmp_path):
    """Runs the blocks of a page in order, as one module, in an empty folder; what they register is forgotten."""
    monkeypatch.chdir(tmp_path)

    def run(page: pathlib.Path) -> types.ModuleType:
        module = types.ModuleType(f"page_{page.stem}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        for number, block in enumerate(python_blocks(page), 1):
            exec(compile(block, f"{page.name}, block {number}", "exec"), module.__dict__)
        return module

    with registering():
        yield run


def all_finite(metrics: object) -> bool:
    import jax

    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(metrics))


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(p, id=p.stem, marks=pytest.mark.slow if re.search(TRAINS, "".join(python_blocks(p))) else ())
        for p in PAGES
    ],
)
def test_the_python_of_a_page_runs(page, run_page):
    module = run_page(page)
    if hasattr(module, "result"):
        assert all_finite(module.result.metrics)
    if page.stem == "getting_started":
        times, goals = np.asarray(module.times), np.asarray(module.hindsight_goals)[:, 0]
        assert (times // 5 == goals // 5).all()
        assert ((goals > times) | ((goals == times) & (times % 5 == 4))).all()
        assert [row["depth"] for row in module.result.lanes.table()] == [4, 4, 8, 8]
        assert not module.result.metrics.diverged.any()
        assert len(module.rows) == 4 * module.config.epochs
    if page.stem == "extending":
        assert module.outcome.rows[-1]["loss"] < module.outcome.rows[0]["loss"]
    if page.stem == "faq":
        assert round(module.train.buffer_bytes() / 1e6) == 276
        assert round(module.train.state_bytes() / 1e6) == 430


def test_the_pages_with_python_are_found():
    assert {"index", "getting_started", "environments", "extending", "faq"} <= {page.stem for page in PAGES}


def test_the_error_quoted_for_an_illegal_depth_is_what_is_raised():
    from deepcrl.agents import CRL

    with pytest.raises(ValueError) as error:
        CRL(depth=10)
    assert str(error.value) in (DOCS / "faq.md").read_text(encoding="utf-8")


def test_the_options_of_the_command_line_exist(capsys):
    from deepcrl.cli import main

    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "README.md", *DOCS.rglob("*.md")))
    text = re.sub(r"python (benchmarks|recipes)/[^`\n]*|--xla_\w+", "", text)  # they have options of their own
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - {"--help"}
    for command in ("", "train", "resume", "eval", "export", "render", "plot", "cost", "bench"):
        with pytest.raises(SystemExit):
            main([*command.split(), "--help"])
    known = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    assert named and named <= known, named - known


def test_the_table_of_point_mazes():
    from deepcrl import envs

    rows = re.findall(
        r"^\| `(point_\w+)` \| (\d+) x (\d+) \| (\d+) \| (\d+) \|$",
        (DOCS / "environments.md").read_text(encoding="utf-8"),
        re.M,
    )
    assert [row[0] for row in rows] == [
        name for name in envs.names() if name.startswith("point_") and name != "point_maze"
    ]
    for name, *numbers in rows:
        maze = envs.make(name)[0].maze
        (start,), goals = maze.cells("R"), maze.cells("G")
        longest = max(maze.path_lengths(start)[goal] for goal in goals)
        assert [int(number) for number in numbers] == [*maze.shape, len(goals), longest], name


def test_the_gallery_shows_every_task_at_its_size():
    from deepcrl import envs

    page = (DOCS / "tasks" / "gallery.md").read_text(encoding="utf-8")
    shown = {path.stem for path in (DOCS / "images" / "tasks").glob("*.jpg")}
    tasks = {name for name in set(envs.names()) - set(envs.templates()) if not name.startswith("point")}
    assert shown == {name for name in tasks if "_eval" not in name and not name.endswith("_single")}
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \| (\d+) \| ([\d.]+) m \| ([\d.]+) s \|$", page, re.M)
    assert [row[0] for row in rows] == sorted(shown)
    for name, *numbers in rows:
        env, params = envs.make(name)
        space = env.observation_space(params)
        sizes = [space.observation.size, env.action_space(params).size, space.desired_goal.size]
        assert [int(number) for number in numbers[:3]] == sizes, name
        step = env.substeps * env.build_model().opt.timestep
        np.testing.assert_allclose(
            [float(x) for x in numbers[3:]], [params.success_radius, step], rtol=1e-6, err_msg=name
        )
        assert f"../images/tasks/{name}.jpg" in page


def entries() -> dict[str, str]:
    """Every `:::` entry of the API pages, with the first line of text that follows it on its page."""
    found = {}
    for page in sorted((DOCS / "api").glob("*.md")):
        lines = [line.strip() for line in page.read_text(encoding="utf-8").splitlines() if line.strip()]
        for line, following in zip(lines, [*lines[1:], ""], strict=True):
            if line.startswith("::: "):
                path = line.removeprefix("::: ")
                assert path not in found, f"{path} has two entries."
                found[path] = following
    return found


def public_names() -> list[str]:
    """What the `__init__` files re-export without an underscore, modules apart."""
    paths = []
    for namespace in NAMESPACES:
        module = importlib.import_module(namespace)
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.ImportFrom):
                names = [alias.asname or alias.name for alias in node.names]
                public = [name for name in names if not name.startswith("_")]
                paths += [f"{namespace}.{name}" for name in public if not inspect.ismodule(getattr(module, name))]
    return paths


def resolve(path: str) -> object:
    namespace, _, name = path.rpartition(".")
    return getattr(importlib.import_module(namespace), name)


def test_every_namespace_is_looked_at():
    packages = {f"deepcrl.{path.parent.name}" for path in (ROOT / "deepcrl").glob("*/__init__.py")}
    assert {"deepcrl", *packages} == set(NAMESPACES)


def test_every_public_name_has_one_entry():
    listed = [resolve(path) for path in entries()]
    for path in public_names():
        same = [other for other in listed if other is resolve(path)]
        assert len(same) == 1, f"{path} has {len(same)} entries on the API pages."
    assert set(entries()) <= set(public_names())


def test_every_public_name_is_documented():
    for path, following in entries().items():
        thing = resolve(path)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            (definition,) = ast.parse(inspect.getsource(thing)).body
            assert ast.get_docstring(definition), path  # dataclasses make up a `__doc__` of their own
        else:  # a constant: the page says what it is
            assert re.match(r"[A-Z]", following), path
