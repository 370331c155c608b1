"""Commands for the owner of an agent's file."""
