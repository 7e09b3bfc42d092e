"""How fast the engine is, one module a question; `README.md` says how to run and how to read them."""
