"""Where the rooms meet: scan, sign, verify, generate, train, audit, demo."""
