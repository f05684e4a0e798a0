"""What a generator is measured by: closeness, variety, copying, a judge's accuracy."""
