"""``python -m emocli`` and the ``emocli`` command."""

from emocli.cli import main

if __name__ == "__main__":
    main()
