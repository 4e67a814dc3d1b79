"""Tests: sentences about the site, told through its public doors."""
