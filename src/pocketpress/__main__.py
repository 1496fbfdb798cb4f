"""``python -m pocketpress``."""

from pocketpress.cli.main import run

if __name__ == "__main__":
    run()
