"""The stages as components of Kubeflow Pipelines, one thin file each; `adloom.kubeflow.component` does the work."""
