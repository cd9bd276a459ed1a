"""One HTML file that holds a whole controllable network and runs it in a browser, from disk, without a server."""
