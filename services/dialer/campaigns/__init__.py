"""Campaigns: lists of numbers that are dialled one after the other, each by the list's rules."""
