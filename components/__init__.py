"""The stages as components of Kubeflow Pipelines: thin, one file each. What they do stands in `adloom.component`."""
