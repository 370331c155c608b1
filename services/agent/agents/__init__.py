"""Agents as files: what an owner writes, checked, chosen and reloaded."""
