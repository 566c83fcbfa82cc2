"""The words of the pages: one table a language, with the same keys in each."""
