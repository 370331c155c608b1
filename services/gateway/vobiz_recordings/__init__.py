"""Vobiz's own recordings of calls: asked for in the answer, fetched when they are ready."""
