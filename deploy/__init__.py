"""Starting, shipping and watching the platform."""
