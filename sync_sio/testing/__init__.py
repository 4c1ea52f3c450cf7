"""Tools for tests. Importing this package loads none of them: take the module that is wanted."""
