"""How often Python looks for objects that hold each other: seldom, in processes that answer many small requests."""

from __future__ import annotations

import gc
from typing import Final

# Objects made and not freed since the last look; 700 by default, which fifty requests under way have soon.
_YOUNG: Final = 10_000
_GENERATIONS: Final = 10  # looks at young ones for each at older ones, as by default


def look_seldom() -> None:
    """Call it once, when all modules are loaded and settings are read.

    What is there stays, so it is not looked at again: that would keep requests waiting for 50 ms each time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _GENERATIONS, _GENERATIONS)
