"""Every metric of the platform, and the endpoint that serves them."""
