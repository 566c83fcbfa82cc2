"""`python -m posline` is `posline`."""

from posline.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
