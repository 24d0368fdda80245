"""What makes documents, catalogues and samples, and what searches for mistakes for as long as it is asked to."""
