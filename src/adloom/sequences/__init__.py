"""An LSTM over token ids; it knows no words. Pure."""
