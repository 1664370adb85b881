"""Storage: folders and S3, artifacts with manifests, tables, arrays, and locks."""
