"""The stages as KFP components, one thin file each; `adloom.kubeflow.component_runtime` does the work."""
