"""The context of a decision: columns `ctx_<name>`, bounded in requests, logs and the table of impressions."""

PREFIX = "ctx_"  # of the columns of impressions; a request may leave it out
NAME = r"^(?![\s\S]*[\x00-\x1f\x7f])(?!ctx_$)"  # for JSON Schema: no control character, and more than the prefix
MAX_LENGTH = 64  # characters of a name
MAX_NAMES = 64  # of one decision
MAX_COLUMNS = 256  # of one table
SEPARATOR = "\x1f"  # joins names or values
CLOCK_SKEW = 10_000_000  # µs, tolerated between clocks: of a decision and its feedback, of two processes
REFUND = "refund"  # the event that takes money back
MAX_ID_LENGTH = 200  # characters of a user id, a placement, a category or a creative id, in tables and requests
