"""Names for what nobody named: adjective-noun-number."""

from __future__ import annotations

import secrets

_ADJECTIVES = (
    "able amber ample bold brave brisk calm clean clever crisp deep eager fair fine firm fleet fond gentle glad grand "
    "handy honest keen kind light lively lucid mellow merry mild neat noble patient plain proud quick quiet rare ready "
    "rich robust sharp silent smooth sober solid spry steady still stout sunny swift tidy true upbeat vivid warm wise"
).split()
_NOUNS = (
    "ant ape bat bear bee bird boar calf carp cat colt crab crane crow deer dog dove duck eagle eel elk ewe fawn finch "
    "fish fly fox frog goat goose grouse gull hare hawk hen heron horse hound jay kite koi lamb lark lynx mare mink "
    "mole moose moth mouse mule newt otter owl ox perch pig pike quail ram rat raven rook seal shark sheep shrew skink "
    "smelt snail snake stag stork swan tern toad trout vole wasp whale wolf wren yak zebra"
).split()


def random_name() -> str:
    return f"{secrets.choice(_ADJECTIVES)}-{secrets.choice(_NOUNS)}-{secrets.randbelow(1000)}"
