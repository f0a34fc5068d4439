"""The command ``satimnet``: a file a command. It parses, calls the library and prints."""
