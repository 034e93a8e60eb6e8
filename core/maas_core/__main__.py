from maas_core.cli import main

main()
