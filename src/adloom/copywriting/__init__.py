"""Ad copy: tokens, lines under rules, scores and the Kneser-Ney baseline. Pure."""
