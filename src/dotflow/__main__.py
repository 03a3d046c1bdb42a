"""``python -m dotflow`` is the command ``dotflow``."""

from dotflow.main import main

if __name__ == "__main__":
    main()
