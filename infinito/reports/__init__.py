"""Plots and tables of what runs produced."""
