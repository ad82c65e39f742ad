"""rollcheck proves that a Kubernetes workload can be replaced without any client noticing."""

__version__ = "0.1.0"
