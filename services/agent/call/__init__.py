"""One call: its ears, wits and mouth, what it has the network do, what it counts."""
