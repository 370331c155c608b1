"""What comes along: hears, understands and speaks without account, key or network."""
