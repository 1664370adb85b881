"""The tables: contracts, readers, preparation and splits. Pure: no network, no environment."""
