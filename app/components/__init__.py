"""Components: data in, pictures out."""
