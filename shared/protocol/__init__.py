"""The wire formats and the vocabulary of a call. Pure."""
