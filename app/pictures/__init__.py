"""Inputs, predictions and errors as pictures, and the pictures that people send."""
