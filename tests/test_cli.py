"""The command line: trains, draws, lists, explains itself, and answers wrong input with a message and status 2."""

import json
import signal
import subprocess
import sys
import time

import jax
import pytest
from strategies import registering, tiny


SIZES = (
    "--width 8 --depth 8 --repr-dim 8 --num-envs 4 --rollout-length 10 --episode-length 20 --buffer-length 40 "
    "--prefill-length 20 --batch-size 8 --eval-envs 4 --total-env-steps 400 --epochs 2"
).split()


def deepcrl(*args):
    """The exit status of a command."""
    from deepcrl.cli import main

    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    return stop.value.code


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run that drew its pictures."""
    out = tmp_path_factory.mktemp("cli") / "run"
    assert deepcrl("train", "point_u_maze", *SIZES, "--seeds", 2, "--first-seed", 3, "--out", out) == 0
    return out


def test_train_writes_what_was_asked_for(run):
    from deepcrl import open_run

    opened = open_run(run)
    assert opened.config == tiny()
    assert [lane.seed for lane in opened.lanes] == [3, 4]
    assert [(row["epoch"], row["seed"]) for row in opened.rows] == [(1, 3), (1, 4), (2, 3), (2, 4)]


@pytest.mark.parametrize("name", ["learning_curve.png", "maze.png"])
def test_train_draws_pictures(run, name):
    picture = (run / name).read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) > 5_000


def test_pictures_of_an_agent_without_a_critic_are_drawn_too(tmp_path):
    at, out = SIZES.index("--repr-dim"), tmp_path / "run"
    assert deepcrl("train", "point_u_maze", *SIZES[:at], *SIZES[at + 2 :], "--agent", "GCSL", "--out", out) == 0
    assert {path.name for path in out.glob("*.png")} == {"learning_curve.png", "maze.png"}


def test_a_run_is_not_overwritten_unless_told(run, capsys):
    before = (run / "metrics.jsonl").read_bytes()
    assert deepcrl("train", "point_u_maze", *SIZES, "--out", run) == 2
    assert "holds another run" in one_line_error(capsys)
    assert (run / "metrics.jsonl").read_bytes() == before


def one_line_error(capsys):
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("error: ")
    return lines[0]


def test_envs_lists_all_tasks(capsys):
    from deepcrl import envs

    assert deepcrl("envs") == 0
    text = capsys.readouterr().out
    for name in envs.names():
        assert name in text
    assert "300" in text and "600" in text


def test_the_version_is_told(capsys):
    import deepcrl as library

    assert deepcrl("--version") == 0
    assert capsys.readouterr().out == f"deepcrl {library.__version__}\n"


def test_a_run_says_what_to_cite(run, capsys):
    assert deepcrl("citation", run) == 0
    assert "1000 Layer Networks" in capsys.readouterr().out
    assert deepcrl("citation", run.parent) == 2
    assert "is not the folder of a run" in one_line_error(capsys)


def test_a_run_in_a_point_maze_is_filmed(run, tmp_path, capsys):
    assert deepcrl("render", run, "--steps", 12, "--width", 80, "--height", 60, "--out", tmp_path / "film.gif") == 0
    assert {path.name for path in tmp_path.iterdir()} == {"film.gif", "film.png"}
    assert (tmp_path / "film.png").read_bytes().startswith(b"\x89PNG")
    assert deepcrl("render", run, "--lane", 2, "--out", tmp_path / "other.png") == 2
    assert "`lane` must be one of the run's 2" in one_line_error(capsys)


@pytest.mark.parametrize(
    "command, options",
    [
        ([], ["train", "resume", "eval", "export", "envs"]),
        (["render"], ["PATH", "--env", "--env-options", "--lane", "--overview"]),
        (["plot"], ["PATH", "--by", "--overwrite"]),
        (["resume"], ["PATH", "--total-env-steps", "--tensorboard", "--wandb", "--plots"]),
        (["eval"], ["PATH", "--env", "--env-options", "--episodes", "--last", "--seed"]),
        (["export"], ["PATH", "--best", "--lane"]),
        (["envs"], ["--help"]),
        (["train"], ["TASK", "--seeds", "--first-seed", "--out", "--overwrite", "--plots", "--env-options"]),
        (["train"], ["--save-every", "--keep-last", "--save-buffer", "--tensorboard", "--wandb"]),
        (["train"], [f"--{name}" for name in ("total-env-steps", "epochs", "utd-ratio", "goal-reset", "debug-checks")]),
        (
            ["train"],
            ["--depth", "--width", "--energy", "--loss", "--gamma", "{norm,", "{infonce,", "INT", "default: 4"],
        ),
    ],
)
def test_help_names_the_options(capsys, command, options):
    assert deepcrl(*command, "--help") == 0
    text = capsys.readouterr().out
    for option in options:
        assert option in text
    assert "][" not in text  # a cross-reference of the documentation


@pytest.mark.parametrize("agent", ["CRL", "SAC", "TD3", "GCBC", "GCSL", "Random"])
def test_every_setting_has_an_option(capsys, agent):
    import dataclasses

    from deepcrl import agents, Config
    from deepcrl.nn import BlockSpec

    assert deepcrl("train", "--agent", agent, "--help") == 0
    text = capsys.readouterr().out
    classes = (Config, getattr(agents, agent)) if agent == "Random" else (Config, getattr(agents, agent), BlockSpec)
    fields = {field.name for cls in classes for field in dataclasses.fields(cls)} - {"env", "trunk"}
    assert [name for name in fields if f"--{name.replace('_', '-')} " not in text.replace(",", " ")] == []


@pytest.fixture
def config_of(monkeypatch):
    """The config that a command would run."""
    from deepcrl.cli import _train

    class Reached(Exception):
        pass

    def instead(config, **settings):
        raise Reached(config)

    monkeypatch.setattr(_train, "run", instead)

    def parse(*args):
        from deepcrl.cli import main

        with pytest.raises(Reached) as reached:
            main([str(arg) for arg in args])
        return reached.value.args[0]

    return parse


def test_defaults_are_those_of_the_config(config_of):
    from deepcrl import Config

    assert config_of("train", "point_u_maze") == Config(env="point_u_maze")


def test_settings_reach_the_config(config_of):
    from deepcrl.losses import SymmetricInfoNCE

    config = config_of("train", "point_u4_maze", "--critic-depth", 64, "--loss", "symmetric_infonce", "--remat")
    assert (config.env, config.agent.critic_depth, config.agent.actor_depth) == ("point_u4_maze", 64, None)
    assert (config.agent.loss, config.agent.remat) == (SymmetricInfoNCE(), True)
    config = config_of("train", "point_u_maze", "--goal-reset", "cached", "--eval-env", "point_u4_maze", "--no-remat")
    assert (config.goal_reset, config.eval_env, config.agent.remat) == ("cached", "point_u4_maze", False)


def test_agents_are_named_and_have_options_of_their_own(config_of):
    from deepcrl.agents import BestOf, CRL, SAC, TD3
    from deepcrl.nn import BlockSpec
    from deepcrl.replay import FinalGoals, hindsight_replay, Replay

    args = ["train", "point_u_maze", "--agent", "SAC", "--replay", "hindsight:ratio=0.5", "--tau", "0.01"]
    assert config_of(*args, "--norm", "rms").agent == SAC(
        replay=hindsight_replay(ratio=0.5), tau=0.01, trunk=BlockSpec(norm="rms")
    )
    config = config_of("train", "point_u_maze", "--agent=TD3", "--no-residual", "--collect-actions", "4")
    assert (config.agent, config.collect_actions) == (TD3(trunk=BlockSpec(residual=False)), BestOf(4))
    config = config_of("train", "point_u_maze", "--collector", "CRL:depth=8", "--replay", "replay:goals=final")
    assert (config.collector, config.agent) == (CRL(depth=8), CRL(replay=Replay(goals=FinalGoals())))


@pytest.mark.parametrize("agent", ["CRL", "SAC", "TD3", "GCBC", "GCSL", "Random"])
def test_the_defaults_of_every_agent_are_its_own(config_of, agent):
    from deepcrl import agents

    assert config_of("train", "point_u_maze", "--agent", agent).agent == getattr(agents, agent)()


def test_options_of_the_task_reach_the_config(config_of):
    config = config_of("train", "point_u_maze", "--env-options", "starts=free", "goals=3,1")
    assert config.env_options == (("goals", (3, 1)), ("starts", "free"))
    assert config.eval_env_options is None
    assert config_of("train", "point_u_maze", "--eval-env-options", "goals=free").eval_env_options == (
        ("goals", "free"),
    )
    maze = "11111/1R0G1/11111"
    assert config_of("train", "point_maze", "--env-options", f"maze={maze}").env_options == (("maze", maze),)
    config = config_of("train", "humanoid", "--env-options", "paper_observation=true", "control_step=0.015")
    assert config.env_options == (("control_step", 0.015), ("paper_observation", True))


@pytest.mark.parametrize(
    "text, value",
    [
        *(("3e-2", 0.03), ("1e-2", 0.01), ("-0.5", -0.5), ("+2.", 2.0), ("-7", -7), ("1E3", 1000.0), (".5", 0.5)),
        *(("3,1", (3, 1)), ("-0.5,1e-2", (-0.5, 0.01)), ("True", True), ("none", None), ("free", "free")),
        *(
            ("11111/1RG1/1111", "11111/1RG1/1111"),
            ("11111111111", "11111111111"),
            ("a,1", "a,1"),
            ("1e", "1e"),
            ("", ""),
        ),
    ],
)
def test_values_are_read_as_what_they_are(text, value):
    from deepcrl.train._serialise import plain_value

    read = plain_value(text)
    assert (read, type(read)) == (value, type(value))


def test_parts_of_ones_own_are_named_after_their_module_is_imported(config_of, monkeypatch, tmp_path):
    (tmp_path / "own_parts.py").write_text(
        "import deepcrl\n"
        "@deepcrl.register\n"
        "class Tempered(deepcrl.losses.AbstractContrastiveLoss):\n"
        "    temperature: float = 1.0\n"
        "    inner: deepcrl.losses.AbstractContrastiveLoss = deepcrl.losses.InfoNCE()\n"
        "    def __call__(self, logits):\n"
        "        return self.inner(logits / self.temperature)\n"
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    with registering():
        train = ["train", "point_u_maze", "--import", tmp_path / "own_parts.py", "--loss"]
        loss = config_of(*train, "Tempered:temperature=1e-1:inner=flatnce").agent.loss
        assert (type(loss).__name__, loss.temperature, type(loss.inner).__name__) == ("Tempered", 0.1, "FlatNCE")
        monkeypatch.chdir(tmp_path)
        assert (
            config_of("--import=own_parts", "train", "point_u_maze", "--loss", "Tempered").agent.loss.temperature == 1.0
        )
    sys.modules.pop("own_parts")


@pytest.fixture
def lanes_of(monkeypatch):
    """The lanes that a command would train."""
    from deepcrl.cli import _train

    def instead(config, lanes, **settings):
        raise StopIteration(lanes)

    monkeypatch.setattr(_train, "run", instead)

    def parse(*args):
        from deepcrl.cli import main

        with pytest.raises(StopIteration) as reached:
            main([str(arg) for arg in args])
        return reached.value.value

    return parse


def test_options_with_several_values_make_lanes(lanes_of):
    from deepcrl import Config, CRL, lanes

    args = ["--depth", 4, 16, "--energy", "l1", "cosine", "--gamma", 0.9, "--seeds", 2, "--first-seed", 7]
    config = Config(env="point_u_maze", agent=CRL(depth=4, energy="l1", gamma=0.9))
    energies = [CRL(energy=name).energy for name in ("l1", "cosine")]
    expected = lanes(config, seeds=(7, 8), depth=(4, 16), energy=energies)
    assert lanes_of("train", "point_u_maze", *args) == expected
    assert len(lanes_of("train", "point_u_maze", "--batch-size", 32, 64, 128).table()) == 3


def test_one_value_that_is_wrong_is_told_and_nothing_begins(capsys):
    assert deepcrl("train", "point_u_maze", "--depth", 4, 6) == 2
    assert "4 or 8" in capsys.readouterr().err
    assert deepcrl("train", "point_u_maze", "--depth", 4, 4) == 2
    assert "Two lanes are the same" in one_line_error(capsys)


def test_help_shows_the_parts_of_a_file_as_options_take_them(tmp_path, capsys):
    from deepcrl.agents import BestOf

    (tmp_path / "c.toml").write_text(tiny(eval_actions=BestOf(4)).to_toml())
    assert deepcrl("train", "--config", tmp_path / "c.toml", "--help") == 0
    assert "best_of:count=4" in capsys.readouterr().out


def test_files_and_presets_are_begun_with_and_options_change_them(config_of, run, tmp_path, capsys):
    import dataclasses

    from deepcrl import Config, GCBC

    told = dataclasses.replace(tiny(), agent=dataclasses.replace(tiny().agent, gamma=0.5))
    for name, text in (("c.toml", told.to_toml()), ("c.json", told.to_json())):
        (tmp_path / name).write_text(text)
        assert config_of("train", "--config", tmp_path / name) == told
    assert config_of("train", "--config", run) == config_of("train", f"--config={run / 'config.json'}") == tiny()
    other = config_of("train", "point_u4_maze", "--config", tmp_path / "c.toml", "--width", 16)
    assert other == dataclasses.replace(told, env="point_u4_maze", agent=dataclasses.replace(told.agent, width=16))
    paper = Config.paper("point_big_maze")
    changed = dataclasses.replace(paper, agent=dataclasses.replace(paper.agent, depth=64))
    assert config_of("train", "point_big_maze", "--preset", "paper", "--depth", "64") == changed
    assert deepcrl("config", "--config", tmp_path / "c.toml", "--agent", "GCBC") == 0
    assert Config.from_toml(capsys.readouterr().out) == dataclasses.replace(told, agent=GCBC())


def test_a_class_named_with_its_module_is_a_task(config_of, tmp_path, monkeypatch, capsys):
    from deepcrl import Config

    (tmp_path / "my_rooms.py").write_text(
        "import deepcrl.envs\n\nclass MyRoom(type(deepcrl.envs.make('point_room')[0])):\n    pass\n\nhole = print\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, ""])
    assert config_of("train", "point_u_maze", "--eval-env", "point_u4_maze") == Config(
        env="point_u_maze", eval_env="point_u4_maze"
    )
    for name, message in (
        ("my_rooms:hole", "names no class of an environment"),
        ("nowhere:Room", "cannot be imported"),
    ):
        assert deepcrl("train", name) == 2
        assert message in one_line_error(capsys)
    maze = "11111/1R0G1/11111"
    config = config_of("train", "my_rooms:MyRoom", "--env-options", f"maze={maze}")
    assert config.env == "my_rooms:MyRoom"


def test_evaluation_takes_the_options_of_training_unless_said_otherwise():
    from deepcrl import Config

    options = {"env_options": {"starts": "free"}, "eval_env": "point_u4_maze"}
    assert Config(env="point_u_maze", **options).make_eval_env()[0].starts == "free"
    assert Config(env="point_u_maze", **options, eval_env_options={}).make_eval_env()[0].starts == "R"
    maze = {"maze": "11111/1R0G1/11111"}
    with pytest.raises(ValueError, match=r"options .*maze.* give the other one its own: `eval_env_options`"):
        Config(env="point_maze", env_options=maze, eval_env="point_u_maze")
    with pytest.raises(ValueError, match=r"`deepcrl\.open_run\(folder\)\.config` reads it"):
        Config.from_dict({"config": {}, "lanes": []})


WRONG = {
    "unknown task": (["point_u_mase"], "`point_u_maze`"),
    "no task": ([], "TASK"),
    "depth between blocks": (["point_u_maze", "--depth", "6"], "4 or 8"),
    "option that is no option": (["point_u_maze", "--depht", "8"], "--depth"),
    "option without a value": (["point_u_maze", "--env-options", "goals"], "name=value"),
    "option that the task lacks": (["point_u_maze", "--env-options", "goal=free"], "It takes ['starts'"),
    "cell in a wall": (["point_u_maze", "--env-options", "goals=0,0"], "Free cells"),
    "broken maze": (["point_maze", "--env-options", "maze=111/1R1/111"], "goal"),
    "unknown agent": (["point_u_maze", "--agent", "PPO"], "'SAC'"),
    "option of another agent": (["point_u_maze", "--agent", "SAC", "--repr-dim", "8"], "--repr-dim"),
    "unknown energy": (["point_u_maze", "--energy", "nrom"], "Did you mean `norm`?"),
    "loss that nobody registered": (["point_u_maze", "--loss", "Own"], "--import MODULE"),
    "option of a loss that it lacks": (["point_u_maze", "--loss", "infonce:t=1"], "`InfoNCE` has no field 't'"),
    "module that is not there": (["point_u_maze", "--import", "nowhere"], "nowhere"),
    "no module": (["point_u_maze", "--import"], "`--import` takes the name of a module"),
    "loss of another agent": (
        ["point_u_maze", "--agent", "SAC", "--loss", "infonce"],
        "`--loss` belongs to CRL, not to SAC",
    ),
    "batch too large": (["point_u_maze", "--batch-size", "1000000000"], "batch_size"),
    "budget too small": (["point_u_maze", "--total-env-steps", "10"], "at least"),
    "file that is no config": (["--config", __file__], "neither the TOML nor the JSON of a config"),
    "unknown preset": (["point_u_maze", "--preset", "papre"], "Did you mean `paper`"),
    "preset of no task": (["--preset", "paper"], "A preset is one of a task"),
    "no devices": (["point_u_maze", "--devices", "0"], "`devices` must be at least 1"),
    "seed too large": (["point_u_maze", "--first-seed", "4294967296"], "must be in [0, 2^32)"),
    "no seeds": (["point_u_maze", "--seeds", "0"], "`seeds` must be at least 1"),
    "buffer too large": (["point_u_maze", "--buffer-length", "1000000000"], "Lower `buffer_length`"),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_wrong_input_is_told_and_ends_with_status_2(case, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    args, message = WRONG[case]
    assert deepcrl("train", *args) == 2
    captured = capsys.readouterr()
    said = " ".join(captured.err.replace("│", " ").split())  # a box may break lines
    assert message in said
    assert "Traceback" not in captured.err + captured.out
    assert "tyro" not in said  # users do not know what reads their options
    assert list(tmp_path.iterdir()) == []


def test_errors_of_the_library_are_one_line(capsys, tmp_path):
    assert deepcrl("train", "point_u_mase", "--out", tmp_path / "run") == 2
    assert "No environment is named 'point_u_mase'" in one_line_error(capsys)
    assert deepcrl("train", "point_u_maze", "--seeds", "0") == 2
    assert "`seeds` must be at least 1" in one_line_error(capsys)


def test_square_brackets_in_an_error_are_printed_as_they_are(capsys, tmp_path):
    (tmp_path / "[red]file").write_text("")
    assert deepcrl("train", "point_u_maze", "--out", tmp_path / "[red]file") == 2
    assert "[red]file is a file" in one_line_error(capsys)


def test_without_matplotlib_training_is_kept_and_the_remedy_told(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    out = tmp_path / "run"
    assert deepcrl("train", "point_u_maze", *SIZES, "--seeds", 2, "--out", out) == 1
    assert "pip install matplotlib" in capsys.readouterr().out
    written = ["checkpoints", "config.json", "lock", "metrics.csv", "metrics.jsonl"]
    assert sorted(path.name for path in out.iterdir()) == written


@pytest.mark.slow
def test_ctrl_c_ends_with_status_130_and_whole_lines(run, tmp_path):
    sizes = [*SIZES[: SIZES.index("--total-env-steps")], "--epochs", "20000", "--total-env-steps", "3200080"]
    out, code = tmp_path / "run", "from deepcrl.cli import main; main()"
    command = [sys.executable, "-c", code, "train", "point_u_maze", *sizes, "--seeds", "2", "--devices", "2"]
    command += ["--no-plots", "--out", out]
    with open(tmp_path / "said", "w") as said:
        process = subprocess.Popen(list(map(str, command)), stdout=said, stderr=said)
        try:
            deadline = time.monotonic() + 300
            while not ((out / "metrics.jsonl").exists() and (out / "metrics.jsonl").stat().st_size):
                assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "said").read_text()
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            status = process.wait(timeout=120)
        finally:
            process.kill()
    said = (tmp_path / "said").read_text()
    assert status == 130, said
    assert "2 lane(s) on 2 devices" in said  # of one CPU
    text = (out / "metrics.jsonl").read_text()
    assert text.endswith("\n")
    rows = [json.loads(line) for line in text.splitlines()]
    assert len(rows) % 2 == 0 and 2 <= len(rows) < 40_000
    assert [lane["seed"] for lane in json.loads((out / "config.json").read_text())["lanes"]] == [0, 1]


def test_compiled_programs_are_kept_unless_told_otherwise(monkeypatch, tmp_path):
    from deepcrl.cli._main import _keep_compiled_programs

    name, before = "jax_compilation_cache_dir", jax.config.jax_compilation_cache_dir
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    try:
        jax.config.update(name, "/chosen")
        _keep_compiled_programs()
        assert jax.config.jax_compilation_cache_dir == "/chosen"
        jax.config.update(name, None)
        _keep_compiled_programs()
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "deepcrl" / "xla")
    finally:
        jax.config.update(name, before)


def test_cost_prints_a_sheet_and_says_what_does_not_fit(capsys):
    said, _, status = run_cost(capsys, "--lanes", "2")
    assert status == 0 and "GFLOP" in said and "2 lane(s) need" in said and "do not fit" not in said
    said, _, status = run_cost(capsys, "--lanes", "1000000")
    assert status == 1 and "do not fit. Lower" in said
    _, error, status = run_cost(capsys, "--lanes", "0")
    assert status == 2 and "`lanes` must be at least 1, got 0" in error


def run_cost(capsys, *args):
    from deepcrl.cli import main

    with pytest.raises(SystemExit) as exit:
        main(["cost", "point_u_maze", "--width", "8", "--no-measured", *args])
    printed = capsys.readouterr()
    return printed.out, printed.err, exit.value.code


def test_bench_times_what_it_is_asked_for(tmp_path, capsys):
    file = tmp_path / "speed.json"
    sizes = ["--width", 8, "--batch-size", 8, "--repeats", 1, "--json-file", file]
    assert deepcrl("bench", "--depths", 4, "--lanes", 1, 2, *sizes) == 0
    assert "CRL, width 8, batch 8" in capsys.readouterr().out
    rows = json.loads(file.read_text())["rows"]
    assert [(row["depth"], row["lanes"]) for row in rows] == [(4, 1), (4, 2)]
    # Operations are counted, of one lane, and times are measured.
    one, two = (row["flops_per_second"] / row["updates_per_second"] for row in rows)
    assert one == pytest.approx(two) and one > 8 * 8 * 8
    assert rows[0]["share"] == pytest.approx(rows[0]["flops_per_second"] / rows[0]["chain_flops_per_second"])


@pytest.mark.parametrize("option, message", [("--depths", "multiple of 4; got 6"), ("--lanes", "`lanes` must be")])
def test_bench_refuses_before_it_measures(option, message, capsys):
    assert deepcrl("bench", option, {"--depths": 6, "--lanes": 0}[option]) == 2
    assert message in one_line_error(capsys)
