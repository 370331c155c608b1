"""What remains of a call, and where it goes."""
