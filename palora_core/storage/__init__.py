"""Files of runs, models and data sets: whole when written, bounded when read.

``reading`` and ``writing`` (any file) · ``npz``, ``schema`` (arrays, values of somebody else) · ``runs``, ``events``,
``notes`` (a run folder) · ``cards``, ``samples`` (what travels with a model) · ``prepared`` (data sets in shards).
"""
