"""What all agents share: numbers of lanes, depths, ways to act, optimisers, names; no setting without an effect.

Their training is in `test_collector.py`, two at a time.
"""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import optax
import pytest
import references as ref
from strategies import agent_text, corner, fresh_state, registering, tiny, unchecked


SMALL = {"width": 8, "depth": 8}
KINDS = {
    "CRL": {**SMALL, "repr_dim": 8},
    "SAC": SMALL,
    "TD3": SMALL,
    "GCBC": SMALL,
    "GCSL": SMALL,
    "Random": {},
}

# What each field is changed to from the above, and nothing else.
NUMBERS = {"actor_lr": 1e-2, "critic_lr": 1e-2, "alpha_lr": 1e-2, "gamma": 0.5, "tau": 0.5, "target_entropy": -2.0}
NUMBERS["logsumexp_penalty"] = 1.0
STRUCTURE = {
    "depth": 12,
    "actor_depth": 4,
    "critic_depth": 4,
    "width": 9,
    "remat": True,
    "policy_delay": 3,
    "exploration_noise": 0.1,
    "smoothing_noise": 0.1,
    "smoothing_clip": 0.1,
}


def made(kind, **changes):
    from deepcrl import agents

    return getattr(agents, kind)(**{**KINDS[kind], **changes})


def test_every_agent_has_a_name_and_comes_back_from_files():
    from deepcrl import Config, registered
    from deepcrl.agents import AbstractAgent

    assert set(registered(AbstractAgent)) == set(KINDS)
    for kind in KINDS:
        config = dataclasses.replace(tiny(), agent=made(kind, **({} if kind == "Random" else {"actor_lr": 0.01})))
        assert (json.loads(config.to_json())["agent"] == "Random") == (kind == "Random")
        assert Config.from_json(config.to_json()) == config == Config.from_toml(config.to_toml())


# Lanes


def remembered():
    """What a queue holds in which episodes end by the task and by the clock."""
    from deepcrl.replay import Memory, TrajectoryQueue

    model, ends = ref.QueueModel(2, 12), np.arange(24).reshape(12, 2) % 7 == 6
    rollout = ref.transitions(*model.add(ends), ends, with_next=True)
    # An input of nothing but zeros has no direction for LayerNorm: gradients grow a thousandfold a layer.
    rollout = dataclasses.replace(rollout, observation=rollout.observation + 1.0)
    queue = TrajectoryQueue(2, 12)
    state = queue.add(queue.init(jtu.tree_map(lambda leaf: leaf[0, 0], rollout)), rollout)
    return Memory(queue, state, lambda achieved, goal: jnp.all(jnp.abs(achieved - goal) < 0.6))


@pytest.mark.parametrize("kind", ["SAC", "TD3", "GCBC"])  # CRL trains in `test_train.py`
def test_every_number_of_a_lane_has_an_effect_and_masked_lanes_are_shallow_agents(kind):
    """Three updates by the agent's own replay rule, in one vmapped program; one lane is half as deep as what is built."""
    from deepcrl import agents
    from deepcrl._hypers import depth_fields
    from deepcrl.agents import Hypers

    memory = remembered()

    def learn(agent, state, hypers):
        def step(state, key):
            batch_key, update_key = jr.split(key)
            batch = jax.vmap(lambda key: agent.replay(memory, hypers, key=key))(jr.split(batch_key, 8))
            return agent.update(state, batch, hypers, key=update_key)

        return jax.lax.scan(step, state, jr.split(jr.key(0), 3))

    agent, shallow = made(kind), made(kind, depth=4)
    numbers, depths = agent.hypers().values, depth_fields(agent)
    assert {*numbers, *depths, "depth", "replay", "optimizer"} <= set(getattr(agents, kind).__dataclass_fields__)
    lanes = [{}, *({name: NUMBERS[name]} for name in numbers), dict.fromkeys(depths, 4)]
    whole = [{**numbers, **depths, **lane} for lane in lanes]
    hypers = Hypers(**{name: jnp.asarray([lane[name] for lane in whole]) for name in whole[0]})
    together = jax.jit(jax.vmap(lambda hypers: learn(agent, fresh_state(agent, 3, 3, 2), hypers)))(hypers)
    of_lane = lambda place: jtu.tree_map(lambda leaf: np.asarray(leaf[place]), together)
    for place, lane in enumerate(lanes[1:], 1):
        assert ref.largest_difference(of_lane(place), of_lane(0)) > 1e-6, lane

    alone = jax.jit(lambda hypers: learn(shallow, fresh_state(shallow, 3, 3, 2), hypers))(shallow.hypers())
    for mine, like in zip(jtu.tree_leaves(corner(of_lane(-1), alone)), jtu.tree_leaves(alone), strict=True):
        np.testing.assert_allclose(mine, like, rtol=1e-3, atol=1e-4)


def test_every_structural_setting_changes_the_program():
    """Of GCSL they are those of GCBC, of CRL they stand in `test_train.py`."""
    from deepcrl.agents import Adam
    from deepcrl.nn import BlockSpec

    changes = {**STRUCTURE, "trunk": BlockSpec(activation="relu"), "optimizer": Adam(clip_norm=1.0)}
    for kind in ("SAC", "TD3", "GCBC"):
        base = agent_text(made(kind))
        for name in [field.name for field in dataclasses.fields(made(kind))]:
            assert name in {*changes, *NUMBERS, "replay"}, (kind, name)
            if name in changes:
                assert agent_text(made(kind, **{name: changes[name]})) != base, (kind, name)


def test_an_agent_of_ones_own_with_a_number_of_its_own():
    """Lanes, files and checks know it by its declaration alone."""
    from deepcrl import Config, lanes, register
    from deepcrl.agents import AbstractAgent, Hypers, lane_number
    from deepcrl.replay import AbstractReplay, CommandedGoals, Replay

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Follow(AbstractAgent):
        """Steps towards the goal by a share that it learns to enlarge."""

        has_critic = False
        replay: AbstractReplay = Replay(goals=CommandedGoals())
        growth: float = lane_number(0.1, high=1.0)

        def init(self, spec, *, key):
            return jnp.zeros(())

        def act(self, state, observation, goal, hypers, *, key, deterministic=False):
            return state * (goal - observation[: goal.size])

        def update(self, state, batch, hypers, *, key):
            return state + hypers.growth, {"loss": jnp.mean(batch.goal)}

    agent = Follow(growth=0.25)
    assert agent.hypers().growth == 0.25
    with pytest.raises(AttributeError, match=r"These hypers have no number 'tau'\. They have: growth"):
        _ = agent.hypers().tau
    config = dataclasses.replace(tiny(), agent=agent)
    few = lanes(config, seeds=(0, 1), growth=(0.1, 0.9))
    assert few.groups == ((0, 1, 2, 3),)  # one program
    batch = ref.random_td_batch(jr.key(0), 3, 4, 2, 2)
    after = jax.vmap(lambda hypers: agent.update(jnp.zeros(()), batch, hypers, key=jr.key(0))[0])(few.hypers)
    np.testing.assert_allclose(after, [0.1, 0.1, 0.9, 0.9], rtol=1e-6)
    assert (agent.act(after[2], jnp.zeros(4), jnp.ones(2), Hypers(), key=jr.key(0)) == after[2]).all()
    with pytest.raises(ValueError, match=r"`growth` must be a finite number in \[0, 1\]"):
        lanes(config, seeds=(0,), growth=(1.5,))
    with pytest.raises(ValueError, match="Lanes of Follow cannot differ in 'tau'"):
        lanes(config, seeds=(0,), tau=(0.1,))
    with pytest.raises(ValueError, match="Lanes share one kind of agent"):
        lanes(config, seeds=(0,), agent=(agent, made("GCBC")))
    with registering():
        register(Follow)
        assert Config.from_toml(config.to_toml()) == config


# Optimisers


def test_adam_clips_decays_and_warms_up_as_in_numpy():
    from deepcrl.agents import Adam

    rng = np.random.default_rng(0)
    params = {"w": jnp.asarray(rng.normal(size=(3, 2)), jnp.float32), "b": jnp.asarray(rng.normal(size=3), jnp.float32)}
    draw = lambda size: jtu.tree_map(lambda leaf: jnp.asarray(size * rng.normal(size=leaf.shape), jnp.float32), params)
    grads = [draw(size) for size in (0.1, 5.0, 0.2, 1.0)]
    norm = lambda tree: np.sqrt(sum(np.square(np.asarray(leaf, np.float64)).sum() for leaf in jtu.tree_leaves(tree)))
    clipped = [jtu.tree_map(lambda leaf, g=g: leaf * min(1.0, 0.5 / norm(g)), g) for g in grads]
    cases = {Adam(): grads, Adam(clip_norm=0.5): clipped, Adam(weight_decay=0.3): grads, Adam(warmup_updates=2): grads}
    ends = []
    for optimizer, seen in cases.items():
        mine, desired, moments = params, params, ref.fresh_moments(params)
        state = optimizer.init(params)
        for count, (grad, as_seen) in enumerate(zip(grads, seen, strict=True), 1):
            mine, state = jax.jit(optimizer.step)(mine, grad, state, jnp.float32(0.01))
            rate = 0.01 * (min((count - 1) / 2, 1.0) if optimizer.warmup_updates else 1.0)
            stepped, moments = ref.adam_in_numpy(desired, as_seen, moments, rate, count)
            desired = jtu.tree_map(lambda s, d, o=optimizer: s - 0.01 * o.weight_decay * d, stepped, desired)
        assert ref.largest_difference(mine, desired) < 1e-6, optimizer
        ends.append(mine)
    assert min(ref.largest_difference(one, ends[0]) for one in ends[1:]) > 1e-3
    with pytest.raises(ValueError, match="`clip_norm`"):
        Adam(clip_norm=0.0)


def test_an_optimiser_of_ones_own_steps_the_networks():
    from deepcrl.agents import AbstractOptimizer, GCBC

    @dataclasses.dataclass(frozen=True)
    class Clipped(AbstractOptimizer):
        largest: float = 0.1

        def transform(self):
            return optax.clip_by_global_norm(self.largest)

    agent = GCBC(depth=4, width=8, optimizer=Clipped(), actor_lr=0.5)
    state, batch = fresh_state(agent, 4, 2, 2), ref.random_td_batch(jr.key(1), 6, 4, 2, 2)
    new, metrics = jax.jit(ref.update_of(agent))(state, batch, agent.hypers(), jr.key(0))
    assert metrics.grad_norm > 0.1
    steps = jtu.tree_map(lambda a, b: np.asarray(a - b, np.float64), new.policy, state.policy)
    step = np.sqrt(sum(np.square(leaf).sum() for leaf in jtu.tree_leaves(steps)))
    np.testing.assert_allclose(step, 0.5 * 0.1, rtol=1e-3)


# Ways to act


def test_ways_to_act():
    """A sample, the mode, and of some samples the best by the critic."""
    from deepcrl.agents import BestOf, Mode, Sample

    agent, keys = made("SAC"), jr.split(jr.key(1), 64)
    state, observation, goal = fresh_state(agent, 4, 2, 2), jnp.ones(4), -jnp.ones(2)

    @jax.jit
    def acted(keys):
        policies = [way.policy(agent, state, agent.hypers()) for way in (Sample(), Mode(), BestOf(8))]
        of = lambda policy, keys: jax.vmap(lambda key: policy(observation, goal, key=key))(keys)
        samples = of(policies[0], jax.vmap(lambda key: jr.split(key, 8))(keys).reshape(-1))
        value = jax.vmap(lambda action: agent.value(state, observation, goal, agent.hypers(), action))
        mode, best = of(policies[1], keys), of(policies[2], keys)
        return samples, mode, best, value(samples), value(best)

    samples, mode, best, values, best_values = map(np.asarray, acted(keys))
    chosen = samples.reshape(64, 8, 2)[np.arange(64), values.reshape(64, 8).argmax(axis=1)]
    np.testing.assert_allclose(best, chosen, atol=1e-6)
    assert best_values.mean() > values.mean()
    assert (mode == mode[0]).all() and (samples != samples[0]).any()


def test_ways_to_act_that_cannot_be_are_refused():
    from deepcrl.agents import BestOf, Mode

    for kind, changes, message in (
        ("GCBC", {"eval_actions": 4}, "GCBC has none. Take `Sample"),
        ("SAC", {"collect_actions": 1}, "`collect_actions` must be at least 2, got 1"),
        ("SAC", {"collect_actions": "greedy"}, "`collect_actions` must name a known acting"),
    ):
        with unchecked(), pytest.raises(ValueError, match=message):
            dataclasses.replace(tiny(), agent=made(kind), **changes)
    with unchecked():
        config = dataclasses.replace(tiny(), agent=made("SAC"), eval_actions=4, collect_actions="deterministic")
    assert (config.eval_actions, config.collect_actions) == (BestOf(4), Mode())


def test_without_a_critic_the_value_is_zero_and_with_one_it_must_be_said():
    for kind in ("GCBC", "GCSL", "Random"):
        agent = made(kind)
        assert agent.value(None, jnp.ones(4), jnp.ones(2), agent.hypers()) == 0.0
    namespace = {"has_critic": True}
    critic = dataclasses.make_dataclass("Critic", [], bases=(type(made("Random")),), namespace=namespace, frozen=True)()
    with pytest.raises(TypeError, match="`Critic` needs a `value` of its own, or `has_critic = False`"):
        critic.value(None, jnp.ones(4), jnp.ones(2), critic.hypers())


# Citations


def test_a_citation_is_of_what_a_config_uses_and_of_nothing_else(capsys):
    from deepcrl import citation
    from deepcrl.agents import CRL, GCBC, GCSL, Random, SAC, TD3
    from deepcrl.nn import BlockSpec
    from deepcrl.replay import hindsight_replay

    paper, twins, her = "wang2025thousand", "fujimoto2018addressing", "andrychowicz2017hindsight"
    for agent, desired in (
        (CRL(), [paper, "oord2018representation"]),
        (CRL(energy="mrn", loss="flatnce"), [paper, "chen2021simpler", "liu2023metric"]),
        (SAC(), ["haarnoja2018soft", twins, paper]),
        (
            SAC(replay=hindsight_replay(), trunk=BlockSpec(block="simba")),
            ["haarnoja2018soft", her, twins, "lee2025simba", paper],
        ),
        (TD3(trunk=BlockSpec(block="bronet")), [twins, "nauman2024bigger", paper]),
        (GCBC(), ["ding2019goal", paper]),
        (GCSL(), ["ghosh2021learning", paper]),
        (Random(), []),
    ):
        citation(dataclasses.replace(tiny(), agent=agent))
        found = re.findall(r"@\w+\{(\w+),", capsys.readouterr().out)
        assert sorted(found) == sorted(desired), agent  # in the order of the fields, each once
