"""Recordings of calls, what each side heard: written by workers, read by gateways."""
