"""Pictures to train on, and the corpora that generators write."""
