"""Who is on the phone, and what they say."""
