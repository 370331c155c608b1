"""The dialer: outbound calls."""
