"""Which emails a person wants: the page with the switches, and the links that turn emails off."""
