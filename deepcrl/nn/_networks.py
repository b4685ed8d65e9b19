"""Encoders and policy: an input layer, the residual trunk, linear heads (`paper` figure 2; one shape for all nets)."""

from typing import TypedDict, Unpack

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .._typing import IntScalar, Key
from ._distribution import TanhGaussian
from ._layers import DenseLayer
from ._linear import dense
from ._norms import Map
from ._residual import ResidualTrunk
from ._spec import BlockSpec, PAPER_SPEC


LOG_STD_MIN = -5.0
LOG_STD_MAX = 2.0


class Sizes(TypedDict, total=False):
    """The arguments that all networks hand to their [`deepcrl.nn.Encoder`][]."""

    width: int
    num_blocks: int
    spec: BlockSpec
    remat: bool


class Encoder(eqx.Module):
    r"""Input layer, residual trunk, linear output: the paper's $\phi(s, a)$ and $\psi(g)$.

    A network of depth $D$ holds $D + 2$ Dense layers: the input layer (Dense, LayerNorm, swish, no residual) and the
    linear output are not counted. Inputs are taken raw; outputs are not normalised.
    """

    input_layer: DenseLayer
    trunk: ResidualTrunk
    final_norm: Map | None
    output: eqx.nn.Linear

    def __init__(
        self,
        in_size: int,
        out_size: int,
        width: int = 256,
        num_blocks: int = 1,
        *,
        spec: BlockSpec = PAPER_SPEC,
        remat: bool = False,
        key: Key,
    ):
        """**Arguments:**

        - `in_size`, `out_size`: sizes of input and output.
        - `width`: hidden size.
        - `num_blocks`: residual blocks, by default 4 Dense layers each.
        - `spec`: what layers and blocks are made of; the paper's by default.
        - `remat`: see [`deepcrl.nn.ResidualTrunk`][].
        - `key`: draws the weights.
        """
        input_key, trunk_key, output_key = jr.split(key, 3)
        self.input_layer = DenseLayer(in_size, width, spec.layers, key=input_key)
        self.trunk = ResidualTrunk(width, num_blocks, spec=spec, remat=remat, key=trunk_key)
        self.final_norm = spec.layers.norm.build(width) if spec.final_norm else None
        self.output = dense(width, out_size, key=output_key)

    def hidden(self, x: Float[Array, " in"], active_blocks: IntScalar | None = None) -> Float[Array, " width"]:
        """What the output layer takes: the residual stream, normed if the spec has a `final_norm`."""
        h = self.trunk(self.input_layer(x), active_blocks)
        return h if self.final_norm is None else self.final_norm(h)

    def __call__(self, x: Float[Array, " in"], active_blocks: IntScalar | None = None) -> Float[Array, " out"]:
        """**Arguments:**

        - `x`: one sample.
        - `active_blocks`: see [`deepcrl.nn.ResidualTrunk`][].

        **Returns:** the output of one sample.
        """
        return self.output(self.hidden(x, active_blocks))


class StateActionEncoder(eqx.Module):
    r"""$\phi(s, a)$: an [`deepcrl.nn.Encoder`][] of observation and action side by side."""

    encoder: Encoder

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        repr_dim: int = 64,
        *,
        key: Key,
        **sizes: Unpack[Sizes],
    ):
        """**Arguments:** sizes of observation and action, then as [`deepcrl.nn.Encoder`][]; `repr_dim` is the size of
        the embedding (64 in the paper)."""
        self.encoder = Encoder(observation_size + action_size, repr_dim, key=key, **sizes)

    def __call__(
        self, observation: Float[Array, " obs"], action: Float[Array, " action"], active_blocks: IntScalar | None = None
    ) -> Float[Array, " repr"]:
        """The embedding of one observation and action."""
        return self.encoder(jnp.concatenate([observation, action]), active_blocks)


class GoalEncoder(eqx.Module):
    r"""$\psi(g)$: an [`deepcrl.nn.Encoder`][] of a goal."""

    encoder: Encoder

    def __init__(
        self,
        goal_size: int,
        repr_dim: int = 64,
        *,
        key: Key,
        **sizes: Unpack[Sizes],
    ):
        """**Arguments:** size of the goal, then as [`deepcrl.nn.StateActionEncoder`][]."""
        self.encoder = Encoder(goal_size, repr_dim, key=key, **sizes)

    def __call__(self, goal: Float[Array, " goal"], active_blocks: IntScalar | None = None) -> Float[Array, " repr"]:
        """The embedding of one goal."""
        return self.encoder(goal, active_blocks)


class GaussianPolicy(eqx.Module):
    r"""$\pi(a \mid s, g)$: a tanh-squashed Gaussian whose mean and log standard deviation are linear heads of one trunk.

    $\log \sigma = -5 + \tfrac{7}{2} (\tanh(\cdot) + 1)$, so that $\log \sigma \in [-5, 2]$.
    """

    encoder: Encoder  # both heads side by side: mean, then raw log standard deviation
    action_size: int = eqx.field(static=True)

    def __init__(
        self,
        observation_size: int,
        goal_size: int,
        action_size: int,
        *,
        key: Key,
        **sizes: Unpack[Sizes],
    ):
        """**Arguments:** sizes of observation, goal and action, then as [`deepcrl.nn.Encoder`][]."""
        in_size = observation_size + goal_size
        # Two heads of `action_size` with the same fan-in are one layer of twice the size, drawn from the same law.
        self.encoder = Encoder(in_size, 2 * action_size, key=key, **sizes)
        self.action_size = action_size

    def __call__(
        self, observation: Float[Array, " obs"], goal: Float[Array, " goal"], active_blocks: IntScalar | None = None
    ) -> TanhGaussian:
        """The distribution over actions in $(-1, 1)$ for one observation and goal."""
        heads = self.encoder(jnp.concatenate([observation, goal]), active_blocks)
        mean, raw = heads[: self.action_size], heads[self.action_size :]
        log_std = LOG_STD_MIN + 0.5 * (LOG_STD_MAX - LOG_STD_MIN) * (jnp.tanh(raw) + 1.0)
        return TanhGaussian(mean, log_std)


class DeterministicPolicy(eqx.Module):
    r"""$\mu(s, g)$: an [`deepcrl.nn.Encoder`][] whose output is squashed by $\tanh$."""

    encoder: Encoder

    def __init__(
        self,
        observation_size: int,
        goal_size: int,
        action_size: int,
        *,
        key: Key,
        **sizes: Unpack[Sizes],
    ):
        """**Arguments:** sizes of observation, goal and action, then as [`deepcrl.nn.Encoder`][]."""
        in_size = observation_size + goal_size
        self.encoder = Encoder(in_size, action_size, key=key, **sizes)

    def __call__(
        self, observation: Float[Array, " obs"], goal: Float[Array, " goal"], active_blocks: IntScalar | None = None
    ) -> Float[Array, " action"]:
        """The action in $(-1, 1)$ for one observation and goal."""
        return jnp.tanh(self.encoder(jnp.concatenate([observation, goal]), active_blocks))


def parameter_count(module: eqx.Module) -> int:
    """The number of trainable numbers in a module (`module` may hold `jax.ShapeDtypeStruct` leaves)."""
    leaves = jax.tree_util.tree_leaves(eqx.filter(module, lambda leaf: hasattr(leaf, "shape")))
    return sum(leaf.size for leaf in leaves)
