"""The shared words as types: what a job, a run and an attempt are. Knows nothing of the other rooms."""
