"""A moment that a test can put the clock to, whenever its turn comes."""

import time

# Half a day ahead, which is longer than any run: once it were past, whoever registered now would have come later.
START = int(time.time()) + 12 * 3600
