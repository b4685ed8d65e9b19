from ._api import AbstractEngine as AbstractEngine, PhysicsState as PhysicsState
from ._engines import EngineName as EngineName, ENGINES as ENGINES, make_engine as make_engine
