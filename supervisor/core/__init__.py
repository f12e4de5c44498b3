"""Values and decisions: states, outcomes, retries, limits, errors. Pure: no I/O and no clock; `now` is an argument."""
