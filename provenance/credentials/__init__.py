"""Content Credentials (C2PA): signing, verification, what a history says, and what guards both."""
