"""The level of what a command tells without being asked, such as how far long work is.

It lies between information and a warning: nobody sees it who only uses the library.
"""

from __future__ import annotations

NOTICE = 25
#: Seconds between two lines that say how far long work is, where no terminal shows a bar.
PLAIN_SECONDS = 15.0
