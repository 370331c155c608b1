"""The agents of a worker, each made of its file and ready to take calls."""
