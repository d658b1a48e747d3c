"""The whole test bed: nothing is skipped when it is not up."""

from bed_fixtures import bed

__all__ = ["bed"]
