"""From labelled folders to a shipped detector by a TOML file: schema, draws, store, folds, figures, run."""
