"""Who may do what, and who did: keys, their rates, the audit trail."""
