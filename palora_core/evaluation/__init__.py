"""How good a model is, λ by λ: ``evaluate`` makes a ``front``, whose ``indicators`` (hypervolume, …) compare models.

``effects`` says how much λ changes predictions, ``tables`` what methods reached over seeds, ``probing`` what λ does
beyond the simplex and inside the adapters.
"""
