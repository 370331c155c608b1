"""Some sixty vendors, by the stand-alone classes of LiveKit's plugins."""
