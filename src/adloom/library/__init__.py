"""The creative library: pictures, lines and ads by content digest, with state, history, chain and features."""
