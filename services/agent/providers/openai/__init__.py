"""OpenAI and every host that speaks its protocols: all kinds of providers, by its own SDK."""
