"""A plan for very many calls, and the simulation that it rests on; see README.md."""
