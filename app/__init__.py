"""The dashboard. Pages lay out, components draw, and everything else here runs without Streamlit."""
