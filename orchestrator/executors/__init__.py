"""How an attempt executes: `local` worker processes. Knows nothing of triggers or of what a policy means."""
