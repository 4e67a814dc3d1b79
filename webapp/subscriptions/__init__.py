"""Which emails a person wants: the page with their switches, and the links that turn them off."""
