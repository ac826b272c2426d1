"""The networks: torch modules that know neither files nor settings."""
