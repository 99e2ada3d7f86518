"""The commands; formats results for people, and as `--json` for programs."""
