"""Content credentials: where a picture, an ad or a line comes from, signed; and how one without them is found again."""
