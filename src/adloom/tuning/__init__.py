"""The search for hyper-parameters of a training stage."""
