"""A design to compare with: two servers, a relay and an agent, as vendors' examples have them.

A FastAPI WebSocket that hands each message to a `websockets` client and back; behind it a
`websockets` server that reads and writes JSON and base64 by the standard library, resamples and
encodes speech sample by sample on the event loop, and paces its frames by a timer for each call.
The libraries' defaults are kept, compression between the two servers among them. Written for the
comparison; no voice activity, recognition or synthesis is in it.
"""
