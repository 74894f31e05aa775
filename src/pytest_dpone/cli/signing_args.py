"""The arguments of `keygen`, `seal` and `verify`. Loads argparse only; values are checked by the commands."""

from __future__ import annotations

import argparse

from .ops_args import P, once


def add_signing(commands: argparse._SubParsersAction[P]) -> None:
    """Add the three commands."""
    keygen = commands.add_parser("keygen", help="make a key to seal evidence with", allow_abbrev=False)
    keygen.add_argument("file", metavar="FILE", help="the private key's file; FILE.pub gets the public one")

    seal = commands.add_parser("seal", help="judge a tree again and sign what it says", allow_abbrev=False)
    _tree(seal)
    once(seal, "--key", "the private key's file", required=True)
    once(seal, "--log", "folder of a log that several trees share (default: the tree's own)")
    once(seal, "--pin", "a checkpoint of the log that was kept elsewhere: the log must go on from it")

    verify = commands.add_parser("verify", help="verify a sealed tree, offline", allow_abbrev=False)
    _tree(verify)
    once(verify, "--key", "the public key's file", required=True)
    once(verify, "--commit", "the commit that the evidence must be of")
    once(verify, "--release", "the release that the evidence must be of")
    once(verify, "--profile", "the profile that the evidence must be of")
    once(verify, "--pin", "a checkpoint that was kept elsewhere: the log must go on from it")
    for parser in (seal, verify):
        once(parser, "--policy", "a file with further rules; the one of the seal")
        parser.add_argument("--format", choices=("text", "json"), default="text", help="of what is printed")


def _tree(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", metavar="DIR", help="the folder of a run's artifacts")
