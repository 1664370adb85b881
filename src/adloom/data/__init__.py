"""The tables: contracts, reading, preparation and splits. Pure: no network, no environment."""
