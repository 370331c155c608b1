"""One provider after another: time limits, retries, circuit breakers, fallbacks."""
