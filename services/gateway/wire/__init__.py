"""WebSockets as the relay has them: bytes, frames, and no more than that."""
