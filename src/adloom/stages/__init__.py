"""One verb per file: a stage is `run(inputs, outputs, params, outside) -> metrics`, its paths are two dataclasses."""
