"""Networks: torch modules, with neither data nor training."""
