"""Who signs and who is trusted: keys, certificates, their store and life, trust lists."""
