"""Campaigns, without a network."""
