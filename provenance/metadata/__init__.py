"""What a file says about its origin outside a credential: blocks, rules, and reading both."""
