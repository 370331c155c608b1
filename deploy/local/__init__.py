"""The platform on one machine, without a container engine."""
