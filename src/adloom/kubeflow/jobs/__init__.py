"""Jobs of several machines: local processes, or a Kubeflow TrainJob."""
