"""`python -m cellflow`, where the folder of scripts is not on the path."""

import sys

from cellflow.cli import main

if __name__ == "__main__":
    sys.exit(main())
