"""The built-in catalogue: public datasets by name, their download, and their formats."""
