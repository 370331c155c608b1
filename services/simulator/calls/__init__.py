"""A call and the cloud it is in: verbs, webhooks, endings, time."""
