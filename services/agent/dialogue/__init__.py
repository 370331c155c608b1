"""The dialogue by a language model: what it reads, what of its answer is spoken, its tools."""
