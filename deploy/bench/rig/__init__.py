"""What parts measure with: the cloud, the platform's processes, the kernel's accounts."""
