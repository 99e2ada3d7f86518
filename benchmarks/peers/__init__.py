"""What others do with the same work, each in a process of its own, set up as its documentation shows."""
