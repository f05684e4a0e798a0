"""``python -m countermark`` is ``countermark``."""

from countermark.cli import main

if __name__ == "__main__":
    main()
