"""Clients of Kubeflow Pipelines."""
