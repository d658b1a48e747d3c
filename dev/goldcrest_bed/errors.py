"""What can go wrong in the bed, said to a person."""


class BedError(Exception):
    """A problem with a message that tells what to do; shown without a traceback."""
