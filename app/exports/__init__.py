"""A network as a file: plain weights, ONNX, or one HTML page that runs it."""
