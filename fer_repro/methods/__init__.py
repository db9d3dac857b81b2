"""One file per paper, found by its name; `method.py` holds the contract."""
