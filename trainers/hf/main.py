"""Runs the attempt whose folder SCAIMIND_JOB_DIR names; `--version` tells what it is made of."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from scaimind_trainer.run import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
