"""One component per module; :mod:`goldcrest_bed.assembly` puts them together."""
