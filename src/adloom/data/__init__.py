"""The tables: contracts, reading, preparation and splits. Pure: no network, no environment."""

import warnings

# Pandera imports pyspark where it is installed. adloom gives it pandas tables only.
warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
