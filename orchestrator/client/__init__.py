"""How other programs ask for runs and hear of them: from Python, in any process, without an engine in it."""
