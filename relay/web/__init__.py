"""The head office's web pages: made on the server, and whole without a script."""
