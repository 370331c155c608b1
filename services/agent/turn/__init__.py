"""Turn-taking rules. Pure."""
