"""The models there are: listed, loaded, grouped for comparison, packed and unpacked."""
