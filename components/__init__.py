"""KFP components, one per stage; `adloom.kubeflow.component_runtime` does the work."""
