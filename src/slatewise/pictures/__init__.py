"""Pictures of what was measured, as SVG; they need the extra `report`."""
