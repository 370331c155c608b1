"""Who is let in: webhooks, media tokens, limits of what is read."""
