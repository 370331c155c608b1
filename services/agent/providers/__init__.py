"""The parts a conversation is made of, behind Protocols."""
