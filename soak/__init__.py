"""Is anything lost, doubled or stuck? Real engines under seeded random faults, and a checker that reads the end."""
