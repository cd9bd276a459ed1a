"""Questions to fronts, maps of metrics over preferences, and the small problems of the lessons."""
