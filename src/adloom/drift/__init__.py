"""Whether new data still resembles the data that the models learned from."""
