"""The decision bench: views, candidates, limits and the journal, one form written as link, JSON, journal and report."""
