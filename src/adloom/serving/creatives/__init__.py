"""The creatives service: generate, classify and write, hosted by BentoML."""
