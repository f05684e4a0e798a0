"""Reports: one result schema and its renderers."""
