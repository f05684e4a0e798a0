"""Ground floor: images, weights, corpora, records and statistics that every room shares."""
