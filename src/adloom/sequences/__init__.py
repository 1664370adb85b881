"""An LSTM over token ids, without knowledge of words. Pure."""
