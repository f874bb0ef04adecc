"""`python -m druse` is the command `druse`."""

from ._command import main

if __name__ == "__main__":
    main()
