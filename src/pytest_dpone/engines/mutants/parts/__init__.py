"""The parts of which mutants are made: what the native engine has, broken in one way each."""
