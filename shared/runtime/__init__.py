"""What a service needs to run: settings, logs, tasks, life cycle."""
