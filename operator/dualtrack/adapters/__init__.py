"""The edges of the control plane: each client library has its one importer here."""
