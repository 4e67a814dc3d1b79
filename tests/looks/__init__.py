"""What the site looks like from outside, made and measured by hand: `make screenshots`, `make lighthouse`."""
