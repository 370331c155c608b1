"""Phone audio: companding, resampling, framing, jitter. Pure."""
