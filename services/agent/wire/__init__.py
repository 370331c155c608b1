"""The way to the caller: the gateway's link, the audio that comes by it, the network behind it."""
