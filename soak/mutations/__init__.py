"""Is each promise's test worth anything? The mechanism that keeps the promise is taken out, and the test must fail."""
