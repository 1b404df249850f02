"""`infinito` and `python -m infinito`: shows a sign of life, then loads the program."""

from infinito import sign_of_life


def main() -> None:
    """Run the command line; see `infinito.run.main`."""
    sign_of_life.begin("reading the configuration")
    from infinito.run import main as run

    run()


if __name__ == "__main__":
    main()
