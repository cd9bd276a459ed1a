"""The steps of the Learn page: what each shows and computes."""
