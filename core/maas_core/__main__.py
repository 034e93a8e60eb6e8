import sys

try:
    from maas_core.cli import main

    main()
except KeyboardInterrupt:
    # Ctrl-C also reaches a step of the demo that is still being imported, and one that says that it was interrupted.
    sys.exit(130)
