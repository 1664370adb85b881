"""Text: tokenizer, LSTM, decoding rules, and the Kneser-Ney model it is judged against. Pure."""
