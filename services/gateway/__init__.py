"""The gateway: Vobiz's webhooks and media sockets."""
