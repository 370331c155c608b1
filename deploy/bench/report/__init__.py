"""What becomes of the figures: medians, fits, tables, plots, README's section, comparison."""
