from ._api import AbstractEngine as AbstractEngine, PhysicsState as PhysicsState
from ._engines import (
    default_engine as default_engine,
    EngineName as EngineName,
    ENGINES as ENGINES,
    make_engine as make_engine,
)
