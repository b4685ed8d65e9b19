# MuJoCo has no annotations; its attributes are not checked.
from typing import Any

def __getattr__(name: str) -> Any: ...
