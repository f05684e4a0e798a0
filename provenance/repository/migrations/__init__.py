"""Migrations of the manifest repository, run by alembic when a repository is opened."""
