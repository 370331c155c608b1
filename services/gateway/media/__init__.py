"""The way of a frame: the caller's socket on one side, a worker's link on the other."""
