"""Checkpoints give back what was saved, or say what is wrong: after kills, on full disks, from strangers."""

import errno
import hashlib
import json
import os
import shutil

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from strategies import tiny


ABOUT = {"epoch": 3, "note": "whatever JSON can say"}


@pytest.fixture
def tree():
    return {
        "params": {"weight": jr.normal(jr.key(0), (3, 4)), "half": jnp.arange(5, dtype=jnp.bfloat16)},
        "keys": jr.split(jr.key(1), 6).reshape(2, 3),
        "other_keys": jr.key(2, impl="rbg"),
        "counts": (jnp.int32(7), jnp.uint8(255), jnp.asarray([True, False])),
        "odd": [jnp.float32(jnp.nan), jnp.float32(-jnp.inf), jnp.float32(-0.0)],
        "empty": jnp.zeros((0, 4)),
        "left out": None,
    }


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jr.key_data(x), jr.key_data(y)
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()
    return True


def template_of(tree):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


# What is saved comes back


def test_every_kind_of_leaf_comes_back_bit_for_bit(tree, tmp_path):
    from deepcrl.runs import load_checkpoint, read_about, save_checkpoint

    save_checkpoint(tmp_path / "c", tree, ABOUT)
    assert same(load_checkpoint(tmp_path / "c", tree), tree)
    assert same(load_checkpoint(str(tmp_path / "c"), template_of(tree)), tree)
    assert read_about(tmp_path / "c") == ABOUT


def test_large_trees_are_written_and_read_in_groups(tree, tmp_path, monkeypatch):
    from deepcrl.runs import _checkpoint, load_checkpoint, save_checkpoint

    monkeypatch.setattr(_checkpoint, "_GROUP_BYTES", 40)
    save_checkpoint(tmp_path / "c", tree, ABOUT)
    assert len(list((tmp_path / "c" / "arrays").iterdir())) > 2
    assert same(load_checkpoint(tmp_path / "c", tree), tree)
    part = {"odd": tree["odd"], "keys": tree["keys"]}
    assert same(load_checkpoint(tmp_path / "c", part, partial=True), part)


@pytest.fixture(scope="module")
def state():
    """A state of three lanes, filled at will: nothing is compiled."""
    from deepcrl import make_train

    shapes = jax.eval_shape(jax.vmap(make_train(tiny()).init), jnp.arange(3))

    def fill(leaf):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jr.split(jr.key(5), leaf.shape)
        return jnp.arange(leaf.size).reshape(leaf.shape).astype(leaf.dtype)

    return jax.tree.map(fill, shapes)


def test_a_set_of_lanes_comes_back(state, tmp_path):
    from deepcrl.runs import load_checkpoint, save_checkpoint

    save_checkpoint(tmp_path / "c", state, ABOUT)
    assert same(load_checkpoint(tmp_path / "c", template_of(state)), state)


def test_without_the_buffer_all_else_comes_back_and_the_buffer_is_missed(state, tmp_path):
    from deepcrl.runs import load_checkpoint, save_checkpoint

    bare = eqx.tree_at(lambda s: s.queue, state, None)
    save_checkpoint(tmp_path / "c", bare, ABOUT)
    assert same(load_checkpoint(tmp_path / "c", bare), bare)
    with pytest.raises(ValueError, match=r"has no leaf `queue\.data.*saved without the replay buffer"):
        load_checkpoint(tmp_path / "c", state)


def test_a_part_comes_back_alone(state, tmp_path):
    from deepcrl.runs import load_checkpoint, save_checkpoint

    save_checkpoint(tmp_path / "c", state, ABOUT)
    part = {"agent": state.agent, "key": state.key}
    assert same(load_checkpoint(tmp_path / "c", part, partial=True), part)
    with pytest.raises(ValueError, match=r"holds a leaf `hypers\.values\.actor_lr` that this run does not have"):
        load_checkpoint(tmp_path / "c", part)


def test_the_json_says_what_the_arrays_are(tree, tmp_path):
    from deepcrl.runs import save_checkpoint

    save_checkpoint(tmp_path / "c", tree, ABOUT)
    document = json.loads((tmp_path / "c" / "checkpoint.json").read_text())
    assert document["schema"] == 1
    assert document["versions"]["jax"] == jax.__version__
    assert document["leaves"]["params.weight"] == {"shape": [3, 4], "dtype": "float32"}
    assert document["leaves"]["keys"] == {"shape": [2, 3], "dtype": "key:threefry2x32"}
    assert document["leaves"]["other_keys"] == {"shape": [], "dtype": "key:rbg"}


# What differs is named


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda t: t | {"params": t["params"] | {"weight": jnp.zeros((3, 5))}},
            r"`params.weight`.*float32\[3, 4\].*\[3, 5\]",
        ),
        (lambda t: t | {"odd": [jnp.int32(0), *t["odd"][1:]]}, r"`odd.0` .* float32\[\], but this run needs int32\[\]"),
        (lambda t: t | {"other_keys": jr.key(0)}, "`other_keys` .*key:rbg.*key:threefry2x32"),
        (lambda t: t | {"more": jnp.zeros(2)}, "has no leaf `more`"),
        (lambda t: {name: t[name] for name in t if name != "empty"}, "holds a leaf `empty`"),
    ],
)
def test_the_first_leaf_that_differs_is_named(tree, tmp_path, change, message):
    from deepcrl.runs import load_checkpoint, save_checkpoint

    save_checkpoint(tmp_path / "c", tree, ABOUT)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(tmp_path / "c", change(tree))


def test_what_is_there_is_not_replaced(tree, tmp_path):
    from deepcrl.runs import save_checkpoint

    save_checkpoint(tmp_path / "c", tree, ABOUT)
    with pytest.raises(ValueError, match="is there already"):
        save_checkpoint(tmp_path / "c", tree, ABOUT)


# Disks


@pytest.mark.parametrize(
    "number, message",
    [
        (errno.ENOSPC, "make room.*--no-save-buffer"),
        (errno.EROFS, "another folder"),
        (errno.EIO, "saved before is whole"),
    ],
)
def test_a_disk_that_fails_leaves_nothing_and_a_remedy(tree, tmp_path, monkeypatch, number, message):
    from deepcrl.runs import save_checkpoint

    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=message):
        save_checkpoint(tmp_path / "c", tree, ABOUT)
    assert list(tmp_path.iterdir()) == []


# Which are kept


@pytest.fixture
def store(tmp_path, monkeypatch):
    from deepcrl.runs import CheckpointStore, Saving

    return CheckpointStore(tmp_path / "checkpoints", Saving(keep_last=2))


def save_all(store, state, scores):
    for epoch, score in enumerate(scores, 1):
        store.save((state,), epoch, score, {})
    store.wait()


def test_the_last_and_the_best_are_kept(store, state):
    assert store.last() is None and store.best() is None
    save_all(store, state, [0.1, 0.7, 0.3, 0.7, 0.2, 0.1, 0.0])
    assert store.epochs() == [4, 6, 7]  # of two equals the newer
    assert store.last() == store.at(7) and store.best() == store.at(4)
    assert sorted(path.name for path in store.path.iterdir()) == ["epoch_000004", "epoch_000006", "epoch_000007"]


def test_a_score_that_is_not_a_number_is_never_the_best(store, state):
    save_all(store, state, [0.0, float("nan"), float("nan")])
    assert store.epochs() == [1, 2, 3] and store.best() == store.at(1)


def test_what_a_kill_left_is_removed_at_the_next_save_and_never_read(store, state):
    (store.path / "epoch_000009.unfinished" / "arrays").mkdir(parents=True)
    assert store.epochs() == []
    save_all(store, state, [0.5])
    assert [path.name for path in store.path.iterdir()] == ["epoch_000001"]


def test_what_is_saved_is_the_state_of_then(store, state):
    """The caller donates the state as soon as `save` returns."""
    from deepcrl.runs import load_checkpoint

    mine = jax.tree.map(jnp.copy, state)
    spoil = jax.jit(
        lambda s: eqx.tree_at(lambda s: s.queue.data.reward, s, s.queue.data.reward + 1.0), donate_argnums=0
    )
    store.save((mine,), 1, 0.5, {})
    spoil(mine)
    store.wait()
    assert same(load_checkpoint(store.at(1), (state,)), (state,))


def test_a_save_that_failed_in_the_background_is_told_at_the_next_occasion(store, state, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        store.save((state,), 1, 0.5, {})
        with pytest.raises(OSError, match="No space left"):
            store.wait()
    save_all(store, state, [0.5])
    assert store.epochs() == [1]


@pytest.mark.parametrize("wrong", [{"save_every": -1}, {"keep_last": 0}, {"save_buffer": 1}])
def test_wrong_settings_are_refused(wrong):
    from deepcrl.runs import Saving

    with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
        Saving(**wrong)


# Strangers


SMALL = {"a": jnp.arange(300.0).reshape(3, 100), "b": {"c": jnp.int32(4), "key": jr.key(3)}}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    from deepcrl.runs import save_checkpoint

    folder = tmp_path_factory.mktemp("strangers") / "c"
    save_checkpoint(folder, SMALL, ABOUT)
    return folder


def pick(data, items, label):
    return data.draw(st.sampled_from(list(items)), label=label)


def mutate_a_file(data, folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    file = pick(data, files, "file")
    content = bytearray(file.read_bytes())
    kind = pick(
        data, ["flip", "cut", "grow", "empty", "remove", "rename", "swap", "link", "directory", "extra"], "kind"
    )
    place = data.draw(st.integers(0, max(0, len(content) - 1)), label="place")
    if kind == "flip" and content:
        content[place] ^= data.draw(st.integers(1, 255), label="bits")
    elif kind == "cut":
        content = content[:place]
    elif kind == "grow":
        content += data.draw(st.binary(min_size=1, max_size=64), label="more")
    elif kind == "empty":
        content = b""
    file.write_bytes(content)
    if kind == "remove":
        file.unlink()
    elif kind == "rename":
        file.rename(file.with_name(file.name + "x"))
    elif kind == "swap":
        other = pick(data, files, "other")
        mine, theirs = file.read_bytes(), other.read_bytes()
        file.write_bytes(theirs)
        other.write_bytes(mine)
    elif kind == "link":
        file.unlink()
        file.symlink_to("/dev/zero")
    elif kind == "directory":
        file.unlink()
        file.mkdir()
    elif kind == "extra":
        (file.parent / "stranger").write_bytes(b"\x80\x04")


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2**70),
    st.floats(),
    st.text(max_size=5),
    st.just("../../etc/passwd"),
    st.just([]),
    st.just({}),
    st.just([2**40, 2**40]),
    st.just([-1]),
    st.just("object"),
    st.just("key:rbg"),
)


def mutate_the_json(data, folder):
    """By somebody who knows the format: the digest is right again."""
    file = folder / "checkpoint.json"
    document = json.loads(file.read_text())
    path, at = [], document
    while isinstance(at, dict | list) and at and (not path or data.draw(st.booleans(), label="deeper")):
        key = pick(data, at if isinstance(at, dict) else range(len(at)), "key")
        path.append(key)
        parent, at = at, at[key]
    kind = pick(data, ["replace", "remove", "rename"], "kind")
    if kind == "replace":
        parent[path[-1]] = data.draw(VALUES, label="value")
    elif kind == "remove":
        del parent[path[-1]]
    elif isinstance(parent, dict):
        parent[path[-1] + "x"] = parent.pop(path[-1])
    document.pop("digest", None)
    document["digest"] = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    file.write_text(json.dumps(document))


@hypothesis.settings(
    max_examples=4 * hypothesis.settings().max_examples, suppress_health_check=list(hypothesis.HealthCheck)
)
@hypothesis.given(data=st.data())
def test_a_mutated_checkpoint_is_a_clean_error_or_loads_correctly(small, tmp_path_factory, data):
    from deepcrl.runs import load_checkpoint, read_about

    folder = tmp_path_factory.getbasetemp() / "mutant"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(small, folder)
    mutate = pick(data, [mutate_a_file, mutate_the_json], "mutation")
    mutate(data, folder)
    try:
        read_about(folder)
        loaded = load_checkpoint(folder, template_of(SMALL))
    except ValueError as error:
        assert str(folder) in str(error)
    else:
        assert same(loaded, SMALL)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "[" * 100_000,
        '{"schema": 1}',
        '{"schema": 2, "digest": ""}',
        "\x00",
        '{"schema": []}',
        "1" * 9999,
    ],
)
def test_json_that_is_not_ours_is_a_clean_error(small, tmp_path, text):
    from deepcrl.runs import load_checkpoint

    shutil.copytree(small, tmp_path / "c")
    (tmp_path / "c" / "checkpoint.json").write_text(text)
    with pytest.raises(ValueError, match=r"is damaged|has schema 2"):
        load_checkpoint(tmp_path / "c", SMALL)


def test_another_schema_is_refused_by_its_number(small, tmp_path):
    from deepcrl.runs import load_checkpoint

    shutil.copytree(small, tmp_path / "c")
    document = json.loads((tmp_path / "c" / "checkpoint.json").read_text()) | {"schema": 99}
    (tmp_path / "c" / "checkpoint.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="has schema 99; this version of deepcrl reads schema 1"):
        load_checkpoint(tmp_path / "c", SMALL)


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A checkpoint of two schemas ago, which had no `groups` but one, and called `about` otherwise."""
    from deepcrl.runs import _schema, save_checkpoint

    save_checkpoint(tmp_path / "c", SMALL, ABOUT)
    file = tmp_path / "c" / "checkpoint.json"
    document = json.loads(file.read_text()) | {"schema": -1}
    document["note"] = document.pop("about")
    (document["names"],) = document.pop("groups")
    document.pop("digest")
    document["digest"] = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    file.write_text(json.dumps(document))

    def renamed(document):
        return {**document, "about": document["note"]}

    def grouped(document):
        return {**document, "groups": [document["names"]]}

    for schema, step in ((-1, renamed), (0, grouped)):
        monkeypatch.setitem(_schema.MIGRATIONS, schema, step)
    return tmp_path / "c"


def test_a_known_older_schema_is_migrated_step_by_step_and_left_as_it_is(old):
    from deepcrl.runs import load_checkpoint, read_about

    before = (old / "checkpoint.json").read_bytes()
    assert same(load_checkpoint(old, SMALL), SMALL)
    assert read_about(old) == ABOUT
    assert (old / "checkpoint.json").read_bytes() == before


def test_a_schema_older_than_any_known_one_is_refused(old, monkeypatch):
    from deepcrl.runs import _schema, load_checkpoint

    monkeypatch.delitem(_schema.MIGRATIONS, -1)
    with pytest.raises(ValueError, match="has schema -1; this version of deepcrl reads schema 0 or 1"):
        load_checkpoint(old, SMALL)


def test_an_older_document_is_checked_before_it_is_migrated(old):
    from deepcrl.runs import load_checkpoint

    text = (old / "checkpoint.json").read_text()
    (old / "checkpoint.json").write_text(text.replace("whatever", "whatsoever"))
    with pytest.raises(ValueError, match="is not what was written"):
        load_checkpoint(old, SMALL)


def test_an_older_document_that_cannot_be_migrated_is_a_clean_error(old, monkeypatch):
    from deepcrl.runs import _schema, load_checkpoint

    monkeypatch.setitem(_schema.MIGRATIONS, 0, lambda document: {**document, "groups": [document["nothing"]]})
    with pytest.raises(ValueError, match="is damaged"):
        load_checkpoint(old, SMALL)


def test_a_json_too_large_to_be_ours_is_not_read(small, tmp_path):
    from deepcrl.runs import load_checkpoint

    shutil.copytree(small, tmp_path / "c")
    os.truncate(tmp_path / "c" / "checkpoint.json", 2**40)  # a sparse terabyte
    with pytest.raises(ValueError, match="is larger than"):
        load_checkpoint(tmp_path / "c", SMALL)


def test_an_empty_folder_is_no_checkpoint(tmp_path):
    from deepcrl.runs import load_checkpoint

    with pytest.raises(ValueError, match="is not a checkpoint"):
        load_checkpoint(tmp_path, SMALL)
