"""Following submitted Jobs in their scheduler, in parts: when to ask, what to ask, what was seen, and what became of jobs that are gone."""
