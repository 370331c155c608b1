"""Campaigns: many numbers, dialled by rules, by any number of dialers at once."""
