"""Recordings of calls while they run: by blocks, behind the calls' backs."""
