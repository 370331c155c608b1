"""Measuring the media path: `python -m deploy.bench`."""
