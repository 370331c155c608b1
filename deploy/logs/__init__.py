"""`parley-logs`: one call's story out of the logs of all services."""
