"""Call state and events between the services: contracts, Redis, memory."""
