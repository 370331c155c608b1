"""The telephone line and the media socket."""
