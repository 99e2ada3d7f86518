"""Fire times: cron, interval and one-time schedules; explain, lint, preview. Knows nothing but time."""
