"""`parley-dialer`: what an operator does with the dialer at a terminal, and `make_call.py`."""
