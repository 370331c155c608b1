"""What every route of the API needs: who asks, how a body is read, how it is documented."""
