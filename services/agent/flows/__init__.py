"""Scripts of the offline agents: data for `services/agent/providers/offline/flow.py`."""
