"""Gates: pure decisions over facts. Nothing here reads a file, a clock or the environment."""
