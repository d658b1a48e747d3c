"""What sbatch may be told: the table of its options, the `#SBATCH` lines of a script, and what counts of both (T9)."""

from goldcrest.sbatch.directives import Directives, directives_of
from goldcrest.sbatch.effective import Effective, effective, fields_of
from goldcrest.sbatch.options import OPTIONS, Kind, Option, SubmitOptions
from goldcrest.sbatch.resources import minutes, resources

__all__ = [
    "OPTIONS",
    "Directives",
    "Effective",
    "Kind",
    "Option",
    "SubmitOptions",
    "directives_of",
    "effective",
    "fields_of",
    "minutes",
    "resources",
]
