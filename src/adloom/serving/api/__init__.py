"""What every HTTP endpoint shares: connection, admission, authentication, schemas, and problems."""
