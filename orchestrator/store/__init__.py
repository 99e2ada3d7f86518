"""Durable state: tables, transitions and migrations. Knows nothing of configuration files or processes."""
