"""Tables and pictures: right arrays behind them, files that are pictures, errors with a remedy."""

import json
import sys

import jax
import numpy as np
import pytest
import scipy.stats
from strategies import tiny


PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def state(host_loop):
    """An untrained lane."""
    return host_loop[0][0]


def rows(lanes=2, epochs=3):
    return [
        {
            "epoch": epoch,
            "lane": lane,
            "seed": lane,
            "env_steps": 1000 * epoch,
            "success_any": 0.1 * epoch,
            "loss": None if lane == 0 else 2.0,
        }
        for epoch in range(1, epochs + 1)
        for lane in range(lanes)
    ]


def assert_png(path, at_least=5_000):
    data = path.read_bytes()
    assert data.startswith(PNG)
    assert len(data) > at_least


@pytest.mark.parametrize("lanes", [1, 2])
def test_learning_curves_are_drawn(tmp_path, lanes):
    from deepcrl.report import plot_learning_curve

    path = tmp_path / "curve.png"
    assert plot_learning_curve(rows(lanes), path, metrics=["success_any", "loss"], title="a title") == path
    assert_png(path)


@pytest.mark.parametrize("logged", [("success_any", "loss"), ("success_any", "critic/value", "actor/entropy")])
def test_learning_curves_show_what_an_agent_logs_of_the_usual(tmp_path, logged):
    from deepcrl.report import plot_learning_curve

    data = [{**row, **dict.fromkeys(logged[1:], 0.5)} for row in rows()]
    data = [{name: value for name, value in row.items() if name != "loss" or "loss" in logged} for row in data]
    usual, named = tmp_path / "usual.png", tmp_path / "named.png"
    plot_learning_curve(data, usual)
    plot_learning_curve(data, named, metrics=logged)
    assert usual.read_bytes() == named.read_bytes()


def test_a_picture_depends_on_its_numbers(tmp_path):
    from deepcrl.report import plot_learning_curve

    one, same, other = tmp_path / "one.png", tmp_path / "same.png", tmp_path / "other.png"
    changed = [{**row, "success_any": 0.9} for row in rows()]
    for path, data in ((one, rows()), (same, rows()), (other, changed)):
        plot_learning_curve(data, path, metrics=["success_any"])
    assert one.read_bytes() == same.read_bytes() != other.read_bytes()


def test_an_unknown_metric_is_refused_by_name(tmp_path):
    from deepcrl.report import plot_learning_curve

    with pytest.raises(ValueError, match=r"No metric is named 'sucess'; the rows hold .*success_any"):
        plot_learning_curve(rows(), tmp_path / "curve.png", metrics=["sucess"])
    assert not (tmp_path / "curve.png").exists()


def test_no_rows_are_refused(tmp_path):
    from deepcrl.report import plot_learning_curve

    with pytest.raises(ValueError, match="no rows were logged"):
        plot_learning_curve([], tmp_path / "curve.png")


@pytest.mark.parametrize("per_cell", [1, 3])
def test_value_maps_are_empty_in_walls_and_finite_elsewhere(train, state, per_cell):
    from deepcrl.report import value_map

    maze = train.eval_env.maze
    values = value_map(train, state, maze.cells("G")[0], per_cell=per_cell)
    assert values.shape == (maze.shape[0] * per_cell, maze.shape[1] * per_cell)
    walls = maze.walls.repeat(per_cell, axis=0).repeat(per_cell, axis=1)
    np.testing.assert_array_equal(np.isnan(values), walls)
    assert (values[~walls] <= 0.0).all()  # energies are negative distances
    assert len(np.unique(values[~walls])) > 0.9 * (~walls).sum()


def test_value_maps_hold_the_agents_values_and_depend_on_the_goal(train, state):
    from deepcrl.report import value_map

    env, goal = train.eval_env, train.eval_env.maze.cells("G")[-1]
    values, others = (value_map(train, state, cell, per_cell=1) for cell in (goal, env.maze.cells("R")[0]))
    for row, column in env.maze.free:
        position = env.to_goal(np.array([row, column], np.float32))
        observation = np.concatenate([position, np.zeros(2, np.float32)])
        desired = env.to_goal(np.array(goal, np.float32))
        value = train.agent.value(state.agent, *map(jax.numpy.asarray, (observation, desired)), state.hypers)
        np.testing.assert_allclose(values[row, column], value, rtol=1e-4)
        assert values[row, column] != others[row, column]


def test_mazes_are_drawn(train, state, tmp_path):
    from deepcrl.report import plot_maze

    path = tmp_path / "maze.png"
    assert plot_maze(train, state, path, episodes=3, title="a title") == path
    assert_png(path, at_least=10_000)


def test_goal_maps_hold_the_agents_values_from_one_start(train, state):
    from deepcrl.report import goal_map, value_map

    env, start = train.eval_env, train.eval_env.maze.cells("R")[0]
    values = goal_map(train, state, start, per_cell=1)
    for goal in (env.maze.free[2], env.maze.free[-1]):
        np.testing.assert_allclose(values[goal], value_map(train, state, goal, per_cell=1)[start], rtol=1e-4)
    np.testing.assert_array_equal(np.isnan(values), env.maze.walls)


@pytest.mark.parametrize("knows", ["path", "straight"])
def test_distance_ranks_tell_which_distance_a_critic_knows(train, state, monkeypatch, knows):
    from deepcrl.report import _values, distance_ranks

    maze = train.eval_env.maze
    start = maze.cells("R")[0]
    rows, columns = np.indices(maze.shape)
    distances = {
        "path": maze.path_lengths(start).astype(float),
        "straight": np.hypot(rows - start[0], columns - start[1]),
    }
    monkeypatch.setattr(_values, "goal_map", lambda *args, **options: -np.exp(distances[knows]))
    ranks = distance_ranks(train, state)
    goals = tuple(np.array([cell for cell in maze.free if cell != start]).T)
    between = scipy.stats.spearmanr(*(distance[goals] for distance in distances.values())).statistic
    expected = {"path": between, "straight": between, "between": between, knows: 1.0}
    assert vars(ranks) == pytest.approx(expected)
    assert between < 0.9


@pytest.mark.parametrize("seed", range(3))
def test_rank_correlations_are_scipys(seed):
    from deepcrl.report._values import rank_correlation

    rng = np.random.default_rng(seed)
    first, second = rng.integers(5, size=20), rng.normal(size=20)  # the first with many ties
    expected = scipy.stats.spearmanr(first, second).statistic
    np.testing.assert_allclose(rank_correlation(first, second), expected, atol=1e-12)


def test_visits_are_counted_from_the_replay_buffer(train, state):
    from deepcrl.report import visits_by_cell

    env, config = train.eval_env, train.config
    visits = visits_by_cell(train, state)
    stored = int(state.queue.num_added)
    assert stored == config.prefill_length < config.buffer_length  # the rest of the buffer is empty, and not counted
    assert visits.sum() == stored * config.num_envs
    expected = np.zeros_like(visits)
    for goal in np.asarray(state.queue.data.achieved_goal[:, :stored]).reshape(-1, 2):
        expected[tuple(np.round(env.goal_place(goal)).astype(int))] += 1
    np.testing.assert_array_equal(visits, expected)
    assert visits[env.maze.walls].sum() == 0 < visits[env.maze.cells("R")[0]]


def test_visits_are_of_the_maze_trained_in(train, state, tmp_path, monkeypatch):
    from deepcrl import envs
    from deepcrl.report import plot_cells, visits_by_cell

    visits = visits_by_cell(train, state)
    other, params = envs.make("point_maze", maze="1111111/1R000G1/1111111", episode_length=5)
    monkeypatch.setattr(train, "eval_env", other)
    monkeypatch.setattr(train, "eval_env_params", params)
    np.testing.assert_array_equal(visits_by_cell(train, state), visits)
    assert_png(plot_cells(train, {"one": state}, tmp_path / "cells.png", episodes=1))


@pytest.fixture(scope="module")
def ants():
    """Ants in a corridor, trained not at all: `(trainer, state)` of one lane."""
    from deepcrl import make_train

    options = {"maze": "11111/1R0G1/11111", "engine": "native"}
    trainer = make_train(tiny(env="ant_maze", env_options=options, episode_length=6, num_envs=2))
    return trainer, trainer.init(0)


def test_maps_of_robots_show_a_robot_at_rest_in_each_place(ants):
    from deepcrl.report import goal_map, value_map

    trainer, state = ants
    values, goals = value_map(trainer, state, (1, 3), per_cell=1), goal_map(trainer, state, (1, 2), per_cell=1)
    np.testing.assert_array_equal(np.isnan(values), trainer.eval_env.arena.maze.walls)
    joints = [0, 1, 0, -1, 0, -1, 0, 1]
    for column in (1, 2, 3):
        observation = np.array([4.0, 4.0 * column, 0.75, 1, 0, 0, 0, *joints, *np.zeros(14)], np.float32)
        value = trainer.agent.value(
            state.agent, jax.numpy.asarray(observation), jax.numpy.array([4.0, 12.0]), state.hypers
        )
        np.testing.assert_allclose(values[1, column], value, rtol=1e-4)
    np.testing.assert_allclose(goals[1, 3], values[1, 2], rtol=1e-4)


def test_pictures_of_mazes_are_drawn_for_robots_too(ants, tmp_path):
    from deepcrl.report import plot_cells, plot_maze, plot_trajectories, visits_by_cell

    trainer, state = ants
    visits = visits_by_cell(trainer, state)
    assert visits[1, 1] == visits.sum() > 0  # in six steps none leaves its cell of 4 m
    assert_png(plot_maze(trainer, state, tmp_path / "maze.png", episodes=2))
    assert_png(plot_cells(trainer, {"one": state}, tmp_path / "cells.png", episodes=2))
    assert_png(plot_trajectories(trainer, {"one": state}, tmp_path / "strip.png", episodes=2))


def test_states_are_drawn_side_by_side(train, state, tmp_path):
    from deepcrl.report import plot_cells, plot_goal_values, plot_trajectories

    path = tmp_path / "maze.png"
    assert plot_cells(train, {"one": state, "another": state}, path, episodes=1) == path
    assert_png(path)
    for plot in (plot_goal_values, plot_trajectories):
        path.unlink()
        assert plot(train, {"one": state}, path) == path
        assert_png(path)


def test_no_states_are_refused(train, tmp_path):
    from deepcrl.report import plot_cells, plot_goal_values, plot_trajectories

    for plot in (plot_cells, plot_goal_values, plot_trajectories):
        with pytest.raises(ValueError, match="no states"):
            plot(train, {}, tmp_path / "maze.png")


def test_other_environments_are_not_drawn_as_mazes(train, state, tmp_path, monkeypatch):
    from deepcrl.report import plot_maze, value_map

    monkeypatch.setattr(train, "eval_env", object())
    with pytest.raises(TypeError, match="Only tasks in mazes"):
        value_map(train, state, (1, 1))
    with pytest.raises(TypeError, match="Only tasks in mazes"):
        plot_maze(train, state, tmp_path / "maze.png")


def test_lanes_that_differ_in_more_than_seeds_have_curves_of_their_own(tmp_path, monkeypatch):
    from deepcrl.report import _curves, plot_learning_curve

    made = []
    monkeypatch.setattr(_curves, "save", lambda figure, path: made.append(figure) or path)
    sizes = ((4, 8), (4, 8), (8, 8), (8, 16))
    told = [{**row, "depth": sizes[row["lane"]][0], "width": sizes[row["lane"]][1]} for row in rows(lanes=4)]
    plot_learning_curve(told, tmp_path / "x.png", metrics=["success_any"], by=["depth", "width"])
    axis = made[0].axes[0]
    names = [text.get_text() for text in axis.get_legend().get_texts()]
    assert names == ["depth 4, width 8", "depth 8, width 8", "depth 8, width 16"]
    assert len(axis.lines) == 5  # two lanes and their mean, and two lanes alone
    with pytest.raises(ValueError, match="No metric is named 'dept'"):
        plot_learning_curve(told, tmp_path / "x.png", by=["dept"])


@pytest.mark.parametrize("missing", ["matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"])
def test_without_matplotlib_the_remedy_is_told(tmp_path, monkeypatch, missing):
    from deepcrl.report import plot_learning_curve

    for name in [name for name in sys.modules if name == missing or name.startswith(f"{missing}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        plot_learning_curve(rows(), tmp_path / "curve.png", metrics=["success_any"])


# -- runs in folders ---------------------------------------------------------------------------------------------------


def write_run(folder, lanes=((4, 0), (4, 1), (8, 0)), epochs=4, env="point_u_maze", width=8, extra=True):
    """A run's folder with lanes of a (depth, seed) each, whose success is 0.1 x epoch + 0.01 x lane."""
    folder.mkdir()
    agent = {"name": "CRL", "depth": 8, "width": width}
    config = {"env": env, "agent": agent, "num_envs": 4, "batch_size": 8}
    about = {"config": config, "lanes": [{"seed": seed, "settings": {"depth": depth}} for depth, seed in lanes]}
    (folder / "config.json").write_text(json.dumps(about))
    places = [(epoch, lane) for epoch in range(1, epochs + 1) for lane in range(len(lanes))]
    rows = [
        {"epoch": e, "lane": i, "seed": lanes[i][1], "env_steps": 100 * e, "success_any": round(0.1 * e + 0.01 * i, 2)}
        for e, i in places
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if extra:  # as somebody else's measurements, of all epochs but the last
        more = [{"epoch": e, "lane": i, "success_far": 0.5 * i} for e, i in places if e < epochs]
        (folder / "cells.jsonl").write_text("".join(json.dumps(row) + "\n" for row in more))
    return folder


def test_runs_are_loaded_as_tidy_rows(tmp_path):
    from deepcrl.report import load_runs

    rows = load_runs([write_run(tmp_path / "a"), write_run(tmp_path / "b", lanes=((8, 5),), extra=False)])
    assert len(rows) == 4 * 3 + 4
    assert (
        rows[2].items()
        >= {
            **{"run": str(tmp_path / "a"), "env": "point_u_maze", "num_envs": 4, "agent": "CRL", "width": 8},
            **{"depth": 8, "actor_depth": 8, "critic_depth": 8, "gamma": 0.99},
            **{"lane": 2, "seed": 0, "epoch": 1, "env_steps": 100, "success_any": 0.12, "success_far": 1.0},
        }.items()
    )
    assert [row["depth"] for row in rows[:3]] == [4, 4, 8]
    assert "success_far" not in rows[11]  # of the last epoch, which was not measured
    assert rows[12]["seed"] == 5 and rows[12]["depth"] == 8


def test_a_real_run_is_loaded(tmp_path):
    from deepcrl import lanes
    from deepcrl.report import load_runs
    from deepcrl.runs import RunFolder

    config = tiny(agent={"critic_depth": 4})
    folder = RunFolder(tmp_path / "run")
    folder.start(config, lanes(config, seeds=[3, 4]))
    folder.write([{"epoch": 1, "lane": lane, "seed": 3 + lane, "env_steps": 100} for lane in (0, 1)])
    rows = load_runs([tmp_path / "run"])
    assert [(row["seed"], row["actor_depth"], row["critic_depth"], row["depth"]) for row in rows] == [
        (3, 8, 4, None),
        (4, 8, 4, None),
    ]
    assert rows[0]["batch_size"] == config.batch_size and rows[0]["energy"] == "norm"


def test_a_line_cut_short_by_a_kill_is_left_out_and_a_broken_one_is_not(tmp_path):
    from deepcrl.report import load_runs

    file = write_run(tmp_path / "run") / "metrics.jsonl"
    whole = file.read_text()
    file.write_text(whole + '{"epoch": 5, "la')
    assert len(load_runs([tmp_path / "run"])) == 12
    file.write_text("?\n" + whole)
    with pytest.raises(ValueError, match=r"Line 1 of .*metrics\.jsonl is not a row"):
        load_runs([tmp_path / "run"])


def test_folders_that_are_not_runs_are_refused(tmp_path):
    from deepcrl.report import load_runs

    run = write_run(tmp_path / "run")
    with pytest.raises(ValueError, match="at least one"):
        load_runs([])
    with pytest.raises(ValueError, match="named once"):
        load_runs([run, run / ".." / "run"])
    with pytest.raises(ValueError, match=r"holds no `config\.json`"):
        load_runs([tmp_path])
    (run / "metrics.jsonl").write_text("")
    with pytest.raises(ValueError, match="no epoch of the run has ended"):
        load_runs([run])
    (run / "config.json").write_text('{"config": {}}')
    (run / "metrics.jsonl").touch()
    with pytest.raises(ValueError, match=r"config\.json is not a run's"):
        load_runs([run])


def test_lanes_are_grouped_by_a_setting(tmp_path):
    from deepcrl.report import group_lanes, load_runs

    rows = load_runs([write_run(tmp_path / "run")])
    shallow, deep = group_lanes(rows, by="depth", last=2)
    assert (shallow.value, deep.value) == (4, 8)
    np.testing.assert_array_equal(shallow.env_steps, [100, 200, 300, 400])
    np.testing.assert_allclose(shallow.lanes, [[0.1, 0.2, 0.3, 0.4], [0.11, 0.21, 0.31, 0.41]])
    np.testing.assert_allclose(shallow.curve, [0.105, 0.205, 0.305, 0.405])
    np.testing.assert_allclose(shallow.final, [0.35, 0.36])
    assert shallow.final_mean == pytest.approx(0.355)
    np.testing.assert_allclose(shallow.final_interval(), (0.35, 0.36))
    np.testing.assert_allclose(shallow.curve_interval()[:, 0], (0.1, 0.11))
    (far, _) = group_lanes(rows, by="depth", metric="success_far")
    np.testing.assert_array_equal(far.env_steps, [100, 200, 300])  # where it was measured


def test_intervals_are_stratified_by_task(tmp_path):
    from deepcrl.report import group_lanes, load_runs

    tasks = {"easy": "point_u_maze", "hard": "point_big_maze"}
    rows = load_runs([write_run(tmp_path / name, lanes=((4, 0),), env=env) for name, env in tasks.items()])
    for row in rows:
        row["success_any"] += 0.5 * (row["env"] == "point_u_maze")
    (group,) = group_lanes(rows, by="depth")
    assert group.tasks == ("point_u_maze", "point_big_maze")
    low, high = group.final_interval()  # one lane of each task is all there is to draw
    assert low == high == pytest.approx(group.final_mean)


def test_groups_come_in_order_and_settings_that_some_lack_are_a_group(tmp_path):
    from deepcrl.report import group_lanes

    values = [16, 4, None, "16 x 64", "4 x 64", "tanh", [1, 2]]
    rows = [
        {"run": str(i), "lane": 0, "env_steps": 1, "success_any": 0.0} | ({} if value is None else {"size": value})
        for i, value in enumerate(values)
    ]
    assert [group.value for group in group_lanes(rows, by="size")] == [4, 16, "4 x 64", "16 x 64", (1, 2), None, "tanh"]


def test_what_cannot_be_grouped_is_refused(tmp_path):
    from deepcrl.report import group_lanes, load_runs, plot_groups

    rows = load_runs([write_run(tmp_path / "run")])
    with pytest.raises(ValueError, match="Did you mean `width`"):
        group_lanes(rows, by="widht")
    with pytest.raises(ValueError, match="Did you mean `success_far`"):
        group_lanes(rows, by="depth", metric="sucess_far")
    with pytest.raises(ValueError, match="'env' holds 'point_u_maze'"):
        group_lanes(rows, by="depth", metric="env")
    with pytest.raises(ValueError, match="no rows"):
        group_lanes([], by="depth")
    with pytest.raises(ValueError, match="never measured at the same"):
        group_lanes([{**row, "env_steps": row["env_steps"] + row["lane"]} for row in rows], by="width")
    with pytest.raises(ValueError, match="at least one metric"):
        plot_groups(rows, tmp_path / "x.png", by="depth", metrics=())


def test_groups_are_drawn_and_the_picture_depends_on_the_numbers(tmp_path):
    from deepcrl.report import load_runs, plot_groups

    rows = load_runs([write_run(tmp_path / "run")])
    one, same, other = (tmp_path / f"{name}.png" for name in ("one", "same", "other"))
    for path, success in ((one, 0.0), (same, 0.0), (other, 0.3)):
        changed = [{**row, "success_any": row["success_any"] + success * (row["depth"] == 8)} for row in rows]
        assert plot_groups(changed, path, by="depth", metrics=("success_any", "success_far")) == path
    assert_png(one)
    assert one.read_bytes() == same.read_bytes() != other.read_bytes()


def test_the_command_draws_and_prints_what_it_drew(tmp_path, capsys):
    from deepcrl.cli import main

    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", lanes=((8, 5),))
    with pytest.raises(SystemExit) as ended:
        main(["plot", str(a), str(b), "--by", "depth", "--metric", "success_far", "--out", str(tmp_path / "x.png")])
    assert ended.value.code == 0
    assert_png(tmp_path / "x.png")
    out = capsys.readouterr().out
    assert "success_far" in out and "0.250" in out  # of depth 4: lanes of 0.0 and 0.5
    before = (tmp_path / "x.png").read_bytes()
    with pytest.raises(SystemExit) as ended:
        main(["plot", str(a), "--out", str(tmp_path / "x.png")])
    assert ended.value.code == 2 and "is there already" in capsys.readouterr().err
    assert (tmp_path / "x.png").read_bytes() == before
    with pytest.raises(SystemExit) as ended:
        main(["plot", str(a), "--overwrite", "--out", str(tmp_path / "x.png")])
    assert ended.value.code == 0 and (tmp_path / "x.png").read_bytes() != before


def test_lanes_are_compared_by_what_they_differ_in(tmp_path, capsys):
    from deepcrl.cli import main
    from deepcrl.report import differing_settings

    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", width=16)
    assert (differing_settings([a]), differing_settings([a, b])) == (["depth"], ["depth", "width"])
    assert differing_settings([write_run(tmp_path / "c", lanes=((4, 0), (4, 1)))]) == ["depth"]
    with pytest.raises(SystemExit) as ended:
        main(["plot", str(a), str(b), "--out", str(tmp_path / "x.png")])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "depth, width" in out and all(value in out for value in ("4, 8", "8, 8", "4, 16", "8, 16"))


@pytest.mark.parametrize(
    "args, message",
    [(["--by", "deph"], "Did you mean `depth`"), (["--metric", "succes_far"], "`success_far`"), ([], "")],
)
def test_the_command_explains_what_is_wrong(tmp_path, capsys, args, message):
    from deepcrl.cli import main

    folder = write_run(tmp_path / "a") if args else tmp_path
    with pytest.raises(SystemExit) as ended:
        main(["plot", str(folder), *args, "--out", str(tmp_path / "x.png")])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error
    assert not (tmp_path / "x.png").exists()
