"""A model over HTTP: input and λ in, prediction out. Needs the extra ``serve`` (starlette and uvicorn)."""
