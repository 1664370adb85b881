"""The pipelines. `python -m pipelines` compiles them into pipelines/compiled."""
