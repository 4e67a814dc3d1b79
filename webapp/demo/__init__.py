"""A small community for a site that is only being looked at."""
