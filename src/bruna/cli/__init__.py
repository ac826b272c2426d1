"""The command line `bruna`, one file a command."""
