"""From `jobs.yaml` to a checked `Plan`: models, positions, templating, diagnostics, JSON Schema."""
