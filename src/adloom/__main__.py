"""`python -m adloom` is the command line."""

if __name__ == "__main__":
    from adloom.cli.main import main

    main()
