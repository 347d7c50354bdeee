"""Grid: which fixed-point formats a trained model still does its work in."""
