"""What the platform itself adds to the time until a caller is answered."""
