"""The stages on Kubernetes: the compiled pipelines, what their components call, and how runs are submitted."""
