"""The console: a page with a telephone in it, and the API that it uses."""
