"""A stand-in for the Vobiz cloud."""
