"""What every service imports; imports no service."""
