"""What a language model may do beside talking."""
