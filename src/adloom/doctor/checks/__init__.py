"""The checks of adloom doctor, one topic each."""
