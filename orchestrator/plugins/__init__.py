"""The `@job` decorator, discovery, and the catalogue of callables with their signatures."""
