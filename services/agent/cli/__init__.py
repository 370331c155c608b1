"""`parley-agent`: what an owner of agents does at a terminal."""
