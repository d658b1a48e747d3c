"""The whole test bed, whose processes are killed."""

from bed_fixtures import bed

__all__ = ["bed"]
