"""The test bed: every system Goldcrest talks to, real, on one machine.

Entry point is ``dev/bed.py``. Tests use :mod:`goldcrest_bed.facts` (where things are) and
:mod:`goldcrest_bed.faults` (breaking them). Nothing here is part of the product.
"""
