"""The importer, in the rooms of the product."""
