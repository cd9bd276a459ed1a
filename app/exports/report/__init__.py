"""One HTML file of a view: a model at one λ on one input, with its front, to be read without a server."""
