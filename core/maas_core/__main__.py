"""The start of the program, before anything that takes long to import."""

import sys


def main() -> None:
    """Runs :func:`maas_core.cli.main`; an interruption while it is being imported ends without a traceback."""
    try:
        from maas_core.cli import main as run

        run()
    except KeyboardInterrupt:
        # Ctrl-C also reaches a step of the demo that is still being imported, or that says that it was.
        sys.exit(130)


if __name__ == "__main__":
    main()
